// The operations of the forward pass (model/forward.h) on libtorch's differentiable tensors.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>

#include "terse/model/forward.h"
#include "terse/train/trainable_model.h"

namespace terse::train {

/// Implements Operations for whole sequences of one length. Rows are [sequences * length,
/// features], one sequence after another.
class TorchOperations {
 public:
  using Value = torch::Tensor;

  /// `ids` [sequences, length] of int64, within the vocabulary; the model must outlive this.
  TorchOperations(const TrainableModel& model, torch::Tensor ids);

  torch::Tensor embed() const;
  torch::Tensor norm(std::int64_t block, NormRole role, const torch::Tensor& x) const;
  torch::Tensor linear(std::int64_t block, LinearRole role, const torch::Tensor& x) const;
  QueryKeyValue<torch::Tensor> split(std::int64_t block, const torch::Tensor& fused) const;
  torch::Tensor head_norm(std::int64_t block, NormRole role, const torch::Tensor& x) const;
  torch::Tensor rotate(const torch::Tensor& x) const;
  torch::Tensor attend(std::int64_t block, const QueryKeyValue<torch::Tensor>& qkv) const;
  torch::Tensor gated_activation(const torch::Tensor& gate, const torch::Tensor& up) const;
  torch::Tensor activation(const torch::Tensor& x) const;
  torch::Tensor shortcut(std::int64_t block, ShortcutRole role, const torch::Tensor& x) const {
    return model_.block(block).shortcuts.at(role).weight->apply(x, {});
  }
  torch::Tensor add(const torch::Tensor& x, const torch::Tensor& y) const { return x + y; }
  torch::Tensor head(const torch::Tensor& x) const;

  /// What the head multiplies: `x`, projected where the family does so.
  torch::Tensor before_head(const torch::Tensor& x) const;

 private:
  torch::Tensor apply_norm(const TrainableNorm& norm, const torch::Tensor& x) const;
  void compute_rotations();

  const TrainableModel& model_;
  const Architecture& a_;
  torch::Tensor ids_;
  torch::Tensor cosines_;  // [length, rope.dimensions / 2]
  torch::Tensor sines_;
};

}  // namespace terse::train
