// Weights stored as a product of two narrow matrices.
#pragma once

#include <memory>

#include "terse/model/weight.h"

namespace terse {

/// W = B A, A [r, columns] and B [rows, r], each a weight of any kind. On disk both are modules of
/// their own, `low_rank_a` and `low_rank_b` of the module, in a group of the layout "low-rank" that
/// says their `rank`.
class LowRank : public Weight {
 public:
  static constexpr const char* kLayout = "low-rank";
  static constexpr const char* kA = "low_rank_a";
  static constexpr const char* kB = "low_rank_b";

  /// Errors: bad_input when the shapes do not fit.
  LowRank(std::shared_ptr<Weight> a, std::shared_ptr<Weight> b);

  std::int64_t rows() const override { return b_->rows(); }
  std::int64_t columns() const override { return a_->columns(); }
  std::int64_t rank() const { return a_->rows(); }
  const std::shared_ptr<Weight>& a() const { return a_; }
  const std::shared_ptr<Weight>& b() const { return b_; }
  void prepare() override;
  void multiply(const Matrix& x, Matrix& y) const override;
  ProductCost cost() const override;
  void row(std::int64_t index, float* out) const override;
  Matrix dense() const override;
  std::vector<NamedTensor> tensors(const std::string& module) const override;
  std::string kind() const override;
  Json config() const override;

 private:
  std::shared_ptr<Weight> a_;
  std::shared_ptr<Weight> b_;
};

}  // namespace terse
