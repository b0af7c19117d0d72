#include "terse/methods/lowrank/input_sizes.h"

#include "terse/core/error.h"

namespace terse {
namespace {

// Of the largest: inputs that were never seen count for something.
constexpr double kLeastInput = 1e-6;

}  // namespace

Vector input_sizes(const InputStatistics* inputs, double alpha) {
  if (inputs == nullptr) throw failure("norms of the inputs are needed");
  Eigen::VectorXd squares(inputs->columns());
  for (std::int64_t j = 0; j < squares.size(); ++j) squares[j] = inputs->squared_norm(j);
  const double largest = squares.maxCoeff();
  if (!(largest > 0)) throw failure("no inputs were seen, or all of them were zero");
  return (squares / largest).cwiseSqrt().cwiseMax(kLeastInput).array().pow(alpha).cast<float>();
}

}  // namespace terse
