#include "terse/methods/quantize/feedback_method.h"

#include <utility>

#include "terse/core/error.h"
#include "terse/methods/linear_checks.h"

namespace terse {

LinearResult FeedbackMethod::compress(LinearProblem problem) const {
  const GptqHessian hessian = factor(problem);
  return check_and_solve(std::move(problem), hessian);
}

std::vector<LinearResult> FeedbackMethod::compress_all(std::vector<LinearProblem> problems) const {
  std::vector<LinearResult> results;
  if (problems.empty()) return results;
  const GptqHessian hessian = factor(problems.front());
  for (LinearProblem& problem : problems) {
    results.push_back(check_and_solve(std::move(problem), hessian));
  }
  return results;
}

GptqHessian FeedbackMethod::factor(const LinearProblem& problem) const {
  if (problem.inputs == nullptr) {
    throw failure("{}: second moments of the inputs are needed and are absent", problem.name);
  }
  return with_context(problem.name, [&] {
    return factor_hessian(problem.inputs->moments(), percdamp_, by_activation_);
  });
}

LinearResult FeedbackMethod::check_and_solve(LinearProblem problem,
                                             const GptqHessian& hessian) const {
  check_values(problem);
  check(problem.name, problem.weight.rows(), problem.weight.cols());
  if (problem.weight.cols() != static_cast<std::int64_t>(hessian.order.size())) {
    throw failure("{}: second moments of {} inputs found where the weight has {}", problem.name,
                  hessian.order.size(), problem.weight.cols());
  }
  return solve(std::move(problem), hessian);
}

void zero_dead_inputs(const GptqHessian& hessian, Matrix& weight) {
  for (const std::int64_t column : hessian.dead) weight.col(column).setZero();
}

}  // namespace terse
