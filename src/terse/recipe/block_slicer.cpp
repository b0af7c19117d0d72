#include "terse/recipe/block_slicer.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "terse/core/matrix_product.h"
#include "terse/model/narrowed.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/storage.h"
#include "terse/recipe/block_rewriter.h"

namespace terse {
namespace {

std::shared_ptr<Weight> ready(const Matrix& matrix) {
  auto weight = std::make_shared<DenseWeight>(matrix, DType::f32);
  weight->prepare();
  return weight;
}

Matrix transposed_product(const Matrix& a, const Matrix& b) {
  return product(Matrix(a.transpose()), b);
}

}  // namespace

Matrix sliced(Matrix directions, std::int64_t width) {
  directions.rightCols(directions.cols() - width).setZero();
  return directions;
}

Matrix centred_rows(Matrix rows) {
  rows.colwise() -= rows.rowwise().mean().eval();
  return rows;
}

Matrix normed_rows(Matrix rows) {
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    const double square = rows.row(i).cast<double>().squaredNorm();
    const double mean = square / static_cast<double>(rows.cols());
    if (mean > 0) rows.row(i) *= static_cast<float>(1.0 / std::sqrt(mean));
  }
  return rows;
}

BlockSlicer::BlockSlicer(Model& model, std::int64_t width, Directions directions,
                         const Matrix& first, std::function<Matrix(std::int64_t)> rotation,
                         CalibrationStream& stream, Progress& progress)
    : model_(model),
      centres_(family_subtracts_means(model.checkpoint().config())),
      width_(width),
      directions_(std::move(directions)),
      before_(first),
      rotation_(std::move(rotation)),
      stream_(stream),
      progress_(progress) {}

BlockResult BlockSlicer::compress(std::int64_t block) {
  if (block != next_) before_ = rotation_(block - 1);
  fuse_norm(block, NormRole::attention, Stage::attention_input);
  fuse_norm(block, NormRole::mlp, Stage::mlp_input);
  centre_outputs(block, Stage::attention_output);
  centre_outputs(block, Stage::mlp_output);
  turn_inputs(block, Stage::attention_input, before_);
  // The stream goes on as it was, so that its directions are found there.
  set_shortcut(block, ShortcutRole::attention, before_);
  const auto of_middle = [](const StageInput& input) {
    return StatisticsNeeds{.second_moments = input.stage == Stage::mlp_input};
  };
  const Matrix middle =
      directions_of(stream_.statistics(block, of_middle).at(Stage::mlp_input).moments());
  turn_outputs(block, Stage::attention_output, middle);
  set_shortcut(block, ShortcutRole::attention, transposed_product(middle, before_));
  turn_inputs(block, Stage::mlp_input, middle);
  set_shortcut(block, ShortcutRole::mlp, middle);
  Matrix after = directions_of(output_moments(block));
  turn_outputs(block, Stage::mlp_output, after);
  set_shortcut(block, ShortcutRole::mlp, transposed_product(after, middle));
  BlockResult result = store(block, after);
  before_ = std::move(after);
  next_ = block + 1;
  progress_.advance(1);
  return result;
}

Matrix BlockSlicer::directions_of(const SecondMoments& normed) const {
  return sliced(directions_(normed), width_);
}

SecondMoments BlockSlicer::output_moments(std::int64_t block) const {
  SecondMoments moments(model_.architecture().hidden_size);
  stream_.visit_output(block, [&](const Matrix& output) { moments.add(normed_rows(output)); });
  return moments;
}

// Where norms would subtract the mean of the stream, it never gets one.
void BlockSlicer::centre_outputs(std::int64_t block, Stage stage) {
  if (!centres_) return;
  for (const LinearRole role : model_.architecture().roles(block, stage)) {
    Linear& linear = model_.block(block).linears.at(role);
    Matrix weight = linear.weight->dense();
    weight.rowwise() -= weight.colwise().mean().eval();
    linear.weight = ready(weight);
    if (linear.bias.size() > 0) linear.bias.array() -= linear.bias.mean();
  }
}

// Weights and bias of a norm go into the linears that read it, with what the narrower one will
// lack. That is taken away from the norm while the stream is wide.
void BlockSlicer::fuse_norm(std::int64_t block, NormRole role, Stage stage) {
  const auto scale = static_cast<float>(norm_scale(model_.architecture(), width_));
  Norm& norm = model_.block(block).norms.at(role);
  const Vector bias = bias_of(model_.checkpoint(), model_.norm_module(block, role));
  for (const LinearRole reader : model_.architecture().roles(block, stage)) {
    Linear& linear = model_.block(block).linears.at(reader);
    const Matrix weight = linear.weight->dense();
    if (bias.size() > 0) linear.bias += weight * bias;
    linear.weight = ready(scale * weight * norm.weight.asDiagonal());
  }
  norm.weight.setConstant(1.0F / scale);
}

void BlockSlicer::turn_inputs(std::int64_t block, Stage stage, const Matrix& rotation) {
  for (const LinearRole role : model_.architecture().roles(block, stage)) {
    std::shared_ptr<Weight>& weight = model_.block(block).linears.at(role).weight;
    weight = ready(product(weight->dense(), rotation));
  }
}

void BlockSlicer::turn_outputs(std::int64_t block, Stage stage, const Matrix& rotation) {
  for (const LinearRole role : model_.architecture().roles(block, stage)) {
    Linear& linear = model_.block(block).linears.at(role);
    linear.weight = ready(transposed_product(rotation, linear.weight->dense()));
    if (linear.bias.size() > 0) linear.bias = rotation.transpose() * linear.bias;
  }
}

void BlockSlicer::set_shortcut(std::int64_t block, ShortcutRole role, const Matrix& weight) {
  model_.block(block).shortcuts.at(role) = ready(weight);
}

// As it is read back, so that later blocks see the same after a kill.
BlockResult BlockSlicer::store(std::int64_t index, const Matrix& after) {
  BlockResult result;
  Block& block = model_.block(index);
  for (auto& [role, linear] : block.linears) {
    store_dense(model_, linear.weight->dense(), linear, result);
    linear.weight->prepare();
  }
  for (auto& [role, weight] : block.shortcuts) {
    weight = plain_weight(weight->dense(), model_.dtype());
    std::ranges::move(weight->tensors(model_.shortcut_module(index, role)),
                      std::back_inserter(result.tensors));
    weight->prepare();
  }
  for (const NormRole role : {NormRole::attention, NormRole::mlp}) {
    result.tensors.push_back({model_.norm_module(index, role) + ".weight",
                              Tensor::from_vector(DType::f32, block.norms.at(role).weight)});
  }
  result.tensors.push_back({rotation_name(index), Tensor::from_matrix(DType::f32, after)});
  return result;
}

}  // namespace terse
