// What the gradients of one weight over many samples say of its importance.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>
#include <vector>

namespace terse::train {

/// Sums over samples n of functions of G_n = dL_n / dW, which is made tile by tile and not kept:
/// G_n^2 (empirical Fisher information; Hsu et al., arXiv 2207.00112) and |W G_n| (first-order
/// change of the loss; Molchanov et al., arXiv 1906.10771), element by element. Of a linear that
/// reads the outputs of attention heads also, by head h with the gate xi_h = 1 before it,
/// dL_n / dxi_h = sum of W G_n over the columns of h: its square (Kwon et al., arXiv 2204.00656)
/// and its absolute value (Michel et al., arXiv 1905.10650).
class ScoreSums {
 public:
  /// `weight` [out, in]; `heads` that share its inputs evenly, in their order, or 0.
  ScoreSums(torch::Tensor weight, std::int64_t heads);

  /// Adds a sample of which the linear read `inputs` [tokens, in] and of which the loss has the
  /// gradient `grads` [tokens, out] in its outputs. The bytes do not depend on the number of
  /// threads.
  void add(const torch::Tensor& grads, const torch::Tensor& inputs);

  /// Whether every gradient was finite.
  bool finite() const { return finite_; }

  const torch::Tensor& weight() const { return weight_; }
  const torch::Tensor& fisher() const { return fisher_; }  ///< [out, in]
  const torch::Tensor& taylor() const { return taylor_; }  ///< [out, in]
  const std::vector<double>& head_fisher() const { return head_fisher_; }
  const std::vector<double>& head_taylor() const { return head_taylor_; }

 private:
  std::vector<double> add_tiles(const torch::Tensor& grads, const torch::Tensor& inputs);
  std::vector<double> add_whole(const torch::Tensor& grads, const torch::Tensor& inputs);

  torch::Tensor weight_;
  torch::Tensor fisher_;
  torch::Tensor taylor_;
  std::vector<double> head_fisher_;
  std::vector<double> head_taylor_;
  bool finite_ = true;
};

}  // namespace terse::train
