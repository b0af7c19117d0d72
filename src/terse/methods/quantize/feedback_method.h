// What GPTQ and SparseGPT do before they look at a weight.
#pragma once

#include <vector>

#include "terse/methods/method.h"
#include "terse/methods/quantize/gptq_hessian.h"

namespace terse {

/// A method that feeds errors from column to column: it factors the second moments of the inputs,
/// once for linears that share them, and then solves each linear.
class FeedbackMethod : public LinearMethod {
 public:
  FeedbackMethod(double percdamp, bool by_activation)
      : percdamp_(percdamp), by_activation_(by_activation) {}

  LinearResult compress(LinearProblem problem) const final;
  std::vector<LinearResult> compress_all(std::vector<LinearProblem> problems) const final;

 private:
  /// The weight is finite and fits both the Hessian and check().
  virtual LinearResult solve(LinearProblem problem, const GptqHessian& hessian) const = 0;

  GptqHessian factor(const LinearProblem& problem) const;
  LinearResult check_and_solve(LinearProblem problem, const GptqHessian& hessian) const;

  double percdamp_;
  bool by_activation_;
};

/// Weights of inputs that were always zero say nothing: they become zero.
void zero_dead_inputs(const GptqHessian& hessian, Matrix& weight);

}  // namespace terse
