// What the methods share that take a weight apart into two narrow matrices.
#pragma once

#include <string>
#include <vector>

#include "terse/methods/lowrank/truncated_svd.h"
#include "terse/methods/method.h"

namespace terse {

/// rank, ratio, multiple, allocation; then `more`.
std::vector<MethodOption> with_rank_options(std::vector<MethodOption> more);

/// W ~ B A of a rank that the options ask for, nearest to W by a norm of the method's own: all that
/// a method says is how much which error counts. With a ratio of 1 the weight stays as it is.
class LowRankMethod : public LinearMethod {
 public:
  explicit LowRankMethod(const MethodOptions& options);

  bool fills_zeros() const final { return true; }

  /// Errors: bad_usage for a rank above the full one, and for a ratio that leaves none.
  void check(const std::string& name, std::int64_t rows, std::int64_t columns) const final;
  std::vector<Shape> parts(std::int64_t rows, std::int64_t columns) const final;
  std::uint64_t working_bytes(std::int64_t rows, std::int64_t columns) const final;
  LinearResult compress(LinearProblem problem) const final;

  /// What each term of the weight is worth by the method's norm, falling: what is lost without it
  /// [min(rows, columns)]. Errors: as compress().
  Eigen::VectorXd energies(const LinearProblem& problem) const;

  /// Ranks that a weight may be given where ranks are shared out, rising: from the one that the
  /// ratio leaves, or `multiple` where that is less, by steps of it; all of them make it smaller.
  std::vector<std::int64_t> ranks(std::int64_t rows, std::int64_t columns) const;

 protected:
  virtual ErrorWeights weights(const LinearProblem& problem) const = 0;

  /// What else becomes of the terms.
  virtual TruncatedSvd refined(const LinearProblem& /*problem*/, TruncatedSvd terms) const {
    return terms;
  }

 private:
  std::int64_t rank_of(std::int64_t rows, std::int64_t columns) const;
  bool stays_whole() const { return rank_ == 0 && ratio_ == 1; }

  std::int64_t rank_;
  double ratio_;
  std::int64_t multiple_;
};

}  // namespace terse
