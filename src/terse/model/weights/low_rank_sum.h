// Weights stored as integers plus a product of two narrow matrices.
#pragma once

#include <memory>

#include "terse/kernels/panels.h"
#include "terse/model/weight.h"

namespace terse {

/// W = Q + B A: a quantised weight and a low-rank correction of real numbers, A [r, columns] and B
/// [rows, r] (QLoRA, Dettmers et al., arXiv 2305.14314, equation 5). On disk: the tensors of Q,
/// `low_rank_a` and `low_rank_b`, and a group of the layout "low-rank-sum" with the scheme of Q.
class LowRankSum : public Weight {
 public:
  static constexpr const char* kLayout = "low-rank-sum";

  /// Whether a weight can be the integers of a sum: dense ones alone.
  static bool can_hold(const Weight& base);

  /// Rounds the factors to `dtype`. Errors: failed when `base` holds no integers or shapes differ.
  LowRankSum(std::shared_ptr<Weight> base, const Matrix& a, const Matrix& b, DType dtype);
  /// Factors as they are stored. Errors: bad_input when shapes differ.
  LowRankSum(std::shared_ptr<Weight> base, Tensor a, Tensor b);

  std::int64_t rows() const override { return base_->rows(); }
  std::int64_t columns() const override { return base_->columns(); }
  void prepare() override;
  void multiply(const Matrix& x, Matrix& y) const override;
  ProductCost cost() const override;
  void row(std::int64_t index, float* out) const override;
  Matrix dense() const override;
  std::vector<NamedTensor> tensors(const std::string& module) const override;
  std::string kind() const override;
  Json config() const override;

 private:
  void check() const;
  std::int64_t rank() const { return a_.shape()[0]; }

  std::shared_ptr<Weight> base_;
  Tensor a_;
  Tensor b_;
  kernels::Panels a_panels_;
  kernels::Panels b_panels_;
};

}  // namespace terse
