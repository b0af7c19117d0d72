#include "terse/methods/fold/scale_folds.h"

#include <cmath>
#include <memory>
#include <numeric>
#include <string_view>
#include <utility>

#include "terse/core/error.h"
#include "terse/model/weights/dense.h"

namespace terse {
namespace {

std::string_view activation_name(Activation activation) {
  switch (activation) {
    case Activation::silu:
      return "silu";
    case Activation::gelu:
    case Activation::gelu_tanh:
      return "gelu";
    case Activation::relu:
      return "relu";
  }
  return "";
}

// 0, 1, 2, …
std::vector<std::int64_t> counted(std::int64_t count) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

ScaleFold impossible(Stage stage, std::string obstacle) {
  ScaleFold fold{};
  fold.stage = stage;
  fold.obstacle = std::move(obstacle);
  return fold;
}

// A norm before the stage is read by its linears alone, unless it follows the residual sum: then
// its output is the residual too.
ScaleFold through_norm(const Architecture& a, Stage stage, NormRole norm) {
  if (a.norm_after) return impossible(stage, "its input is the residual stream");
  if (!a.norm_affine) return impossible(stage, "the norm before has no weights");
  ScaleFold fold{};
  fold.stage = stage;
  fold.norm = norm;
  fold.channel_of_input = counted(a.hidden_size);
  fold.row_of_channel = counted(a.hidden_size);
  return fold;
}

// Row of the linear that computes value `feature` of a key-value head.
std::int64_t value_row(const Architecture& a, std::int64_t block, std::int64_t head,
                       std::int64_t feature) {
  const std::int64_t channel = head * a.head_dim + feature;
  if (!a.linears.contains(LinearRole::qkv_proj)) return channel;
  if (a.fused_layout == FusedLayout::blocks)
    return a.query_size(block) + a.key_size(block) + channel;
  return (3 * head + 2) * a.head_dim + feature;
}

// Attention mixes tokens, never the features of a value.
ScaleFold through_values(const Architecture& a, std::int64_t block) {
  const bool fused = a.linears.contains(LinearRole::qkv_proj);
  const BlockShape shape = a.shape(block);
  ScaleFold fold{};
  fold.stage = Stage::attention_output;
  fold.linear = fused ? LinearRole::qkv_proj : LinearRole::v_proj;
  for (std::int64_t head = 0; head < shape.num_key_value_heads; ++head) {
    for (std::int64_t i = 0; i < a.head_dim; ++i) {
      fold.row_of_channel.push_back(value_row(a, block, head, i));
    }
  }
  const std::int64_t queries_per_key = shape.num_attention_heads / shape.num_key_value_heads;
  for (std::int64_t input = 0; input < a.query_size(block); ++input) {
    const std::int64_t head = input / a.head_dim / queries_per_key;
    fold.channel_of_input.push_back(head * a.head_dim + input % a.head_dim);
  }
  return fold;
}

// Both factors of a gated MLP are multiplied: a scale of the ungated one passes. Without a gate the
// activation must satisfy f(x / s) = f(x) / s for s > 0.
ScaleFold through_up(const Architecture& a, std::int64_t block) {
  if (!a.gated && a.activation != Activation::relu) {
    return impossible(Stage::mlp_output,
                      fmt::format("no scale passes through {}", activation_name(a.activation)));
  }
  ScaleFold fold{};
  fold.stage = Stage::mlp_output;
  fold.linear = LinearRole::up_proj;
  fold.channel_of_input = counted(a.shape(block).intermediate_size);
  fold.row_of_channel = counted(a.shape(block).intermediate_size);
  return fold;
}

// A value divided by a scale and rounded, and the scale that it was then divided by.
struct Quotient {
  float value;
  float scale;
};

Quotient divide(float value, float scale, DType dtype) {
  const float rounded = round_to_dtype(dtype, value / scale);
  const float effective = value / rounded;
  if (!std::isnormal(rounded) || !std::isnormal(effective)) return {value, 1.0F};
  return {rounded, effective};
}

// Divides one channel of a norm and gives the scale that it was divided by. A channel whose weight
// is zero is its bias.
float divide_norm(Norm& norm, std::int64_t index, float scale, DType dtype) {
  float& weight = norm.weight[index];
  if (norm.bias.size() == 0) {
    if (weight == 0.0F) return 1.0F;
    const Quotient quotient = divide(weight, scale, dtype);
    weight = quotient.value;
    return quotient.scale;
  }
  float& bias = norm.bias[index];
  if (weight == 0.0F) {
    const Quotient quotient = divide(bias, scale, dtype);
    bias = quotient.value;
    return quotient.scale;
  }
  const Quotient quotient = divide(weight, scale, dtype);
  const float divided = round_to_dtype(dtype, bias / quotient.scale);
  if (!std::isfinite(divided)) return 1.0F;
  weight = quotient.value;
  bias = divided;
  return quotient.scale;
}

// The same for one row of a linear. The weight is not rounded, so the bias may choose the scale.
float divide_row(Matrix& weight, Vector& bias, std::int64_t row, float scale, DType dtype) {
  if (bias.size() > 0 && bias[row] != 0.0F) {
    const Quotient quotient = divide(bias[row], scale, dtype);
    bias[row] = quotient.value;
    scale = quotient.scale;
  }
  weight.row(row) /= scale;
  return scale;
}

void replace_weight(Linear& linear, const Matrix& weight) {
  linear.weight = std::make_shared<DenseWeight>(weight, DType::f32);
}

Vector divide_source(const ScaleFold& fold, Vector scales, DType dtype, Block& block) {
  if (fold.norm) {
    Norm& norm = block.norms.at(*fold.norm);
    for (std::int64_t i = 0; i < scales.size(); ++i) {
      const std::int64_t element = fold.row_of_channel[static_cast<std::size_t>(i)];
      scales[i] = divide_norm(norm, element, scales[i], dtype);
    }
    return scales;
  }
  Linear& linear = block.linears.at(*fold.linear);
  Matrix weight = linear.weight->dense();
  for (std::int64_t i = 0; i < scales.size(); ++i) {
    const std::int64_t row = fold.row_of_channel[static_cast<std::size_t>(i)];
    scales[i] = divide_row(weight, linear.bias, row, scales[i], dtype);
  }
  replace_weight(linear, weight);
  return scales;
}

void check_scales(const ScaleFold& fold, const Vector& scales) {
  if (!fold.possible()) throw failure("a scale cannot be folded: {}", fold.obstacle);
  if (scales.size() != fold.channels()) {
    throw failure("{} scales found for {} channels", scales.size(), fold.channels());
  }
  for (const float scale : scales) {
    if (!(scale > 0.0F && std::isnormal(scale))) throw failure("a scale of {} found", scale);
  }
}

std::string last_part(const std::string& name) {
  return name.substr(name.rfind('.') + 1);
}

// "model.layers.0.self_attn.q_proj, k_proj, v_proj"
std::string place_of(const BlockProblem& problem, Stage stage) {
  std::string place;
  for (const LinearRole role : problem.architecture.roles(problem.index, stage)) {
    const std::string& module = problem.block.linears.at(role).module;
    place += place.empty() ? module : ", " + last_part(module);
  }
  return place;
}

std::string source_name(const ScaleFold& fold, const Architecture& architecture,
                        const Block& block) {
  return last_part(fold.norm ? architecture.norms.at(*fold.norm)
                             : block.linears.at(*fold.linear).module);
}

std::vector<Matrix> chosen_weights(const BlockProblem& problem, Stage stage) {
  std::vector<Matrix> weights;
  for (const LinearRole role : problem.architecture.roles(problem.index, stage)) {
    if (problem.chosen(role)) weights.push_back(problem.block.linears.at(role).weight->dense());
  }
  return weights;
}

BlockReport fold_stage(const BlockProblem& problem, Stage stage, const std::string& place,
                       const std::vector<Matrix>& weights, const ScaleFinder& find) {
  const Architecture& a = problem.architecture;
  const ScaleFold fold = find_fold(a, problem.index, stage);
  if (!fold.possible()) return {place, "skipped: " + fold.obstacle, true};
  const FoundScales found = find(fold, problem.inputs.at(stage), weights);
  if (found.scales.size() == 0) return {place, "kept: " + found.comment, false};
  apply_fold(fold, found.scales, problem.vector_dtype, problem.block);
  return {place,
          fmt::format("scaled through {} ({})", source_name(fold, a, problem.block), found.comment),
          false};
}

}  // namespace

ScaleFold find_fold(const Architecture& architecture, std::int64_t block, Stage stage) {
  switch (stage) {
    case Stage::attention_input:
      return through_norm(architecture, stage, NormRole::attention);
    case Stage::attention_output:
      return through_values(architecture, block);
    case Stage::mlp_input:
      return through_norm(architecture, stage, NormRole::mlp);
    case Stage::mlp_output:
      return through_up(architecture, block);
  }
  return impossible(stage, "an unknown stage");
}

void apply_fold(const ScaleFold& fold, const Vector& scales, DType vector_dtype, Block& block) {
  check_scales(fold, scales);
  const Vector effective = divide_source(fold, scales, vector_dtype, block);
  Vector columns(static_cast<std::int64_t>(fold.channel_of_input.size()));
  for (std::int64_t c = 0; c < columns.size(); ++c) {
    columns[c] = effective[fold.channel_of_input[static_cast<std::size_t>(c)]];
  }
  for (auto& [key, linear] : block.linears) {
    if (stage_of(key.role) != fold.stage) continue;
    Matrix weight = linear.weight->dense();
    weight *= columns.asDiagonal();
    replace_weight(linear, weight);
  }
}

std::vector<BlockReport> fold_stages(const BlockProblem& problem, const std::vector<Stage>& stages,
                                     const ScaleFinder& find) {
  std::vector<BlockReport> reports;
  for (const Stage stage : stages) {
    const std::string place = place_of(problem, stage);
    const std::vector<Matrix> weights = chosen_weights(problem, stage);
    if (weights.empty()) continue;
    reports.push_back(
        with_context(place, [&] { return fold_stage(problem, stage, place, weights, find); }));
  }
  return reports;
}

}  // namespace terse
