// Weights that a module has from another one.
#pragma once

#include <memory>
#include <string>

#include "terse/model/weight.h"

namespace terse {

/// W = S, or with a difference of its own W = S + B A, where S is the weight of another module of
/// the same shape (relaxed sharing: Bae et al., arXiv 2410.20672, equation 3). Stored are the
/// factors alone, as the weight LowRank stores them, in a group of the layout "shared" that says
/// the `module` of S and the `rank` of the difference. In memory S is there once.
class Shared : public Weight {
 public:
  static constexpr const char* kLayout = "shared";

  /// `difference` is a LowRank of the same shape, or null. Errors: bad_input when shapes differ.
  Shared(std::string module, std::shared_ptr<Weight> base,
         std::shared_ptr<Weight> difference = nullptr);

  /// The module that stores S.
  const std::string& module() const { return module_; }
  const std::shared_ptr<Weight>& base() const { return base_; }
  const std::shared_ptr<Weight>& difference() const { return difference_; }

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
  std::string module_;
  std::shared_ptr<Weight> base_;
  std::shared_ptr<Weight> difference_;
};

/// What config.json says of a module that has its weight from another one.
Json shared_storage(const std::string& module, std::int64_t rank);

}  // namespace terse
