#include "terse/search/estimates.h"

#include <algorithm>
#include <utility>

namespace terse {
namespace {

// The units as the solver knows them, and its way back.
class Problem {
 public:
  explicit Problem(const Sensitivities& sensitivities) {
    for (const auto& unit : sensitivities) {
      auto& options = units_.emplace_back();
      auto& numbers = numbers_.emplace_back();
      for (const auto& [number, option] : unit) {
        options.push_back(option);
        numbers.push_back(number);
      }
    }
  }

  Knapsack solver() const { return Knapsack(units_); }

  std::optional<Assignment> allocation(const std::optional<KnapsackSolution>& solution) const {
    if (!solution) return std::nullopt;
    Assignment found{{}, solution->weight, solution->loss};
    for (std::size_t unit = 0; unit < numbers_.size(); ++unit) {
      found.options.push_back(numbers_[unit][solution->options[unit]]);
    }
    return found;
  }

 private:
  std::vector<std::vector<KnapsackOption>> units_;
  std::vector<std::vector<std::size_t>> numbers_;
};

}  // namespace

std::optional<Assignment> least_loss(const Sensitivities& sensitivities, std::uint64_t budget) {
  const Problem problem(sensitivities);
  return problem.allocation(problem.solver().best(budget));
}

std::optional<Assignment> least_bytes(const Sensitivities& sensitivities, double loss) {
  const Problem problem(sensitivities);
  return problem.allocation(problem.solver().lightest(loss));
}

std::uint64_t fewest_bytes(const Sensitivities& sensitivities) {
  std::uint64_t bytes = 0;
  for (const auto& unit : sensitivities) {
    bytes += std::ranges::min_element(unit, {}, [](const auto& entry) {
               return entry.second.weight;
             })->second.weight;
  }
  return bytes;
}

std::vector<std::size_t> promising(const std::map<std::size_t, KnapsackOption>& unit,
                                   double share) {
  std::vector<std::size_t> kept;
  for (const auto& [number, option] : unit) {
    const bool beaten = std::ranges::any_of(unit, [&, &mine = option](const auto& other) {
      return other.second.weight <= mine.weight && other.second.loss < share * mine.loss;
    });
    if (number != 0 && !beaten) kept.push_back(number);
  }
  return kept;
}

Sensitivities with_fixed(Sensitivities sensitivities, std::size_t unit, std::size_t option) {
  std::erase_if(sensitivities[unit], [&](const auto& entry) { return entry.first != option; });
  return sensitivities;
}

Sensitivities scaled(Sensitivities sensitivities,
                     const std::function<double(std::size_t, std::size_t)>& factor) {
  for (std::size_t unit = 0; unit + 1 < sensitivities.size(); ++unit) {
    for (auto& [number, option] : sensitivities[unit]) option.loss *= factor(unit, number);
  }
  return sensitivities;
}

}  // namespace terse
