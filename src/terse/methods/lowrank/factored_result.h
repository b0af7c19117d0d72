// What a method leaves that takes a weight apart into two narrow matrices.
#pragma once

#include "terse/methods/linear_result.h"

namespace terse {

/// W = B A, stored as the weight LowRank (model/weights/low_rank.h). Later steps work on A [r, in],
/// which reads what the linear reads, and then on B [out, r], which reads A x.
class FactoredResult : public CompoundResult {
 public:
  FactoredResult(Matrix a, Matrix b) : a_(std::move(a)), b_(std::move(b)) {}

  Matrix dense() const override;
  std::vector<ResultPart> parts() override;
  std::unique_ptr<Weight> weight(const StoreMatrix& store, DType dtype) override;

 private:
  LinearResult a_;
  LinearResult b_;
};

}  // namespace terse
