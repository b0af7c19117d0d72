#include "terse/methods/linear_checks.h"

#include <span>

#include "terse/core/error.h"
#include "terse/core/threads.h"

namespace terse {

void check_values(const LinearProblem& problem) {
  const Matrix& weight = problem.weight;
  if (weight.size() == 0) {
    throw bad_input("{}: a weight of shape [{}, {}] holds nothing to compress", problem.name,
                    weight.rows(), weight.cols());
  }
  parallel_for(weight.rows(), [&](std::int64_t r) {
    const auto columns = static_cast<std::size_t>(weight.cols());
    if (all_finite(std::span(weight.row(r).data(), columns))) return;
    throw bad_input("{}: row {} of the weight holds a value that is not finite", problem.name, r);
  });
}

}  // namespace terse
