#include "terse/train/torch_operations.h"

#include <cmath>
#include <utility>

#include "terse/core/error.h"
#include "terse/model/rotary.h"
#include "terse/train/functions/attention.h"
#include "terse/train/functions/gated_silu.h"
#include "terse/train/functions/layer_norm.h"
#include "terse/train/functions/rms_norm.h"
#include "terse/train/functions/rotary.h"
#include "terse/train/tensors.h"

namespace terse::train {

static_assert(Operations<TorchOperations>);

TorchOperations::TorchOperations(const TrainableModel& model, torch::Tensor ids)
    : model_(model), a_(model.architecture()), ids_(std::move(ids)) {
  if (a_.learned_positions && ids_.size(1) > a_.max_position_embeddings) {
    throw bad_input("a sequence of {} tokens is longer than the model's {} positions", ids_.size(1),
                    a_.max_position_embeddings);
  }
  if (a_.rotary) compute_rotations();
}

void TorchOperations::compute_rotations() {
  const std::int64_t length = ids_.size(1);
  const std::vector<float> frequencies = rotary_frequencies(a_.rope, length);
  Matrix cosines(length, static_cast<std::int64_t>(frequencies.size()));
  Matrix sines(length, cosines.cols());
  const auto factor = static_cast<float>(a_.rope.attention_factor);
  for (std::int64_t position = 0; position < length; ++position) {
    for (std::int64_t i = 0; i < cosines.cols(); ++i) {
      const float angle = static_cast<float>(position) * frequencies[static_cast<std::size_t>(i)];
      cosines(position, i) = factor * std::cos(angle);
      sines(position, i) = factor * std::sin(angle);
    }
  }
  cosines_ = to_torch(cosines, model_.device());
  sines_ = to_torch(sines, model_.device());
}

torch::Tensor TorchOperations::embed() const {
  torch::Tensor x = torch::embedding(model_.embedding().weight(), ids_.view({-1}));
  if (a_.projected_embeddings) x = model_.project_in()->apply(x, {});
  if (!a_.learned_positions) return x;
  const std::int64_t length = ids_.size(1);
  const torch::Tensor positions = model_.positions().narrow(0, a_.position_offset, length);
  return (x.view({-1, length, a_.hidden_size}) + positions).view({-1, a_.hidden_size});
}

torch::Tensor TorchOperations::apply_norm(const TrainableNorm& norm, const torch::Tensor& x) const {
  if (a_.norm == NormKind::rms) return rms_norm(x, norm.weight, a_.norm_eps);
  return layer_norm(x, norm.weight, norm.bias, a_.norm_eps);
}

torch::Tensor TorchOperations::norm(std::int64_t block, NormRole role,
                                    const torch::Tensor& x) const {
  return apply_norm(model_.norm(block, role), x);
}

torch::Tensor TorchOperations::linear(std::int64_t block, LinearRole role,
                                      const torch::Tensor& x) const {
  const TrainableLinear& linear = model_.block(block).linears.at(role);
  return linear.weight->apply(x, linear.bias);
}

QueryKeyValue<torch::Tensor> TorchOperations::split(std::int64_t block,
                                                    const torch::Tensor& fused) const {
  const std::int64_t q = a_.query_size(block);
  const std::int64_t k = a_.key_size(block);
  if (a_.fused_layout == FusedLayout::blocks) {
    const auto parts = fused.split_with_sizes({q, k, k}, 1);
    return {parts[0].contiguous(), parts[1].contiguous(), parts[2].contiguous()};
  }
  const torch::Tensor heads = fused.view({-1, q / a_.head_dim, 3, a_.head_dim});
  const auto part = [&](std::int64_t index) { return heads.select(2, index).reshape({-1, q}); };
  return {part(0), part(1), part(2)};
}

torch::Tensor TorchOperations::head_norm(std::int64_t block, NormRole role,
                                         const torch::Tensor& x) const {
  return apply_norm(model_.norm(block, role), x.view({-1, a_.head_dim})).view_as(x);
}

torch::Tensor TorchOperations::rotate(const torch::Tensor& x) const {
  return rotate_heads(x, cosines_, sines_, a_.head_dim);
}

torch::Tensor TorchOperations::attend(std::int64_t block,
                                      const QueryKeyValue<torch::Tensor>& qkv) const {
  const BlockShape shape = a_.shape(block);
  return causal_attention(qkv.query, qkv.key, qkv.value,
                          {ids_.size(1), shape.num_attention_heads, shape.num_key_value_heads,
                           a_.head_dim, a_.attention_scale[static_cast<std::size_t>(block)],
                           a_.sliding_window[static_cast<std::size_t>(block)]});
}

torch::Tensor TorchOperations::gated_activation(const torch::Tensor& gate,
                                                const torch::Tensor& up) const {
  return a_.activation == Activation::silu ? gated_silu(gate, up) : activation(gate) * up;
}

torch::Tensor TorchOperations::activation(const torch::Tensor& x) const {
  switch (a_.activation) {
    case Activation::silu:
      return torch::silu(x);
    case Activation::gelu:
      return torch::gelu(x);
    case Activation::gelu_tanh:
      return torch::gelu(x, "tanh");
    case Activation::relu:
      return torch::relu(x);
  }
  return x;
}

torch::Tensor TorchOperations::before_head(const torch::Tensor& x) const {
  return a_.projected_embeddings ? model_.project_out()->apply(x, {}) : x;
}

torch::Tensor TorchOperations::head(const torch::Tensor& x) const {
  return model_.logits(before_head(x));
}

}  // namespace terse::train
