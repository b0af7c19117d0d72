// Wanda: the weights that move the output least become zero, each row by itself.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/linear_checks.h"
#include "terse/methods/method.h"
#include "terse/methods/prune/pruning_options.h"
#include "terse/methods/prune/smallest.h"

namespace terse {
namespace {

Vector input_norms(const LinearProblem& problem) {
  if (problem.inputs == nullptr) {
    throw failure("{}: norms of the inputs are needed and are absent", problem.name);
  }
  const InputStatistics& inputs = *problem.inputs;
  if (inputs.columns() != problem.weight.cols()) {
    throw failure("{}: norms of {} inputs found where the weight has {}", problem.name,
                  inputs.columns(), problem.weight.cols());
  }
  if (inputs.tokens() == 0) {
    throw failure("{}: no calibration input reached the linear", problem.name);
  }
  Vector norms(inputs.columns());
  for (std::int64_t c = 0; c < norms.size(); ++c) {
    norms[c] = static_cast<float>(std::sqrt(inputs.squared_norm(c)));
  }
  return norms;
}

// |W_ij| ||X_j||. Weights that are zero already come before those of dead inputs.
void score_row(std::span<const float> row, const Vector& norms, std::span<float> scores) {
  for (std::size_t c = 0; c < row.size(); ++c) {
    const float score = std::abs(row[c]) * norms[static_cast<std::int64_t>(c)];
    scores[c] = row[c] == 0.0F ? 0.0F : std::max(score, std::numeric_limits<float>::min());
  }
}

class Wanda : public LinearMethod {
 public:
  explicit Wanda(const MethodOptions& options) : pruning_(parse_pruning(options)) {}

  void check(const std::string& name, std::int64_t /*rows*/, std::int64_t columns) const override {
    check_pattern(name, columns, pruning_);
  }

  LinearResult compress(LinearProblem problem) const override {
    check_values(problem);
    check_pattern(problem.name, problem.weight.cols(), pruning_);
    const Vector norms = input_norms(problem);
    Matrix& weight = problem.weight;
    parallel_for(weight.rows(), [&](std::int64_t r) {
      const auto columns = static_cast<std::size_t>(weight.cols());
      const std::span<float> row(weight.data() + r * weight.cols(), columns);
      std::vector<float> scores(columns);
      score_row(row, norms, scores);
      prune_row(row, scores);
    });
    return std::move(weight);
  }

 private:
  void prune_row(std::span<float> row, std::span<const float> scores) const {
    if (pruning_.pattern) {
      for_smallest(scores, *pruning_.pattern, [&](std::size_t c) { row[c] = 0.0F; });
    } else {
      const auto columns = static_cast<std::int64_t>(row.size());
      const std::int64_t count = zero_count(columns, pruning_.sparsity);
      zero_smallest(scores, find_smallest(scores, count), row);
    }
  }

  PruningOptions pruning_;
};

const LinearMethodRegistration kRegistration(
    {"wanda", "prune", "Set the weights to zero whose product with their input's norm is smallest",
     "Sun, Liu, Bair, Kolter: A Simple and Effective Pruning Approach for Large Language Models, "
     "ICLR 2024 (arXiv:2306.11695)",
     MethodScope::linear, MethodNeed::input_norms, with_pruning_options({}, {})},
    [](const MethodOptions& options, const MethodContext& /*context*/) {
      return std::make_unique<Wanda>(options);
    });

}  // namespace
}  // namespace terse
