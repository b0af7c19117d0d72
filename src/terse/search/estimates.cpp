#include "terse/search/estimates.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace terse {
namespace {

// How far one measurement may speak for choices that were not measured beside it.
constexpr double kLargestRatio = 3.0;

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

  std::optional<Allocation> allocation(const std::optional<KnapsackSolution>& solution) const {
    if (!solution) return std::nullopt;
    Allocation found{{}, solution->weight, solution->loss};
    for (std::size_t unit = 0; unit < numbers_.size(); ++unit) {
      found.options.push_back(numbers_[unit][solution->options[unit]]);
    }
    return found;
  }

 private:
  std::vector<std::vector<KnapsackOption>> units_;
  std::vector<std::vector<std::size_t>> numbers_;
};

// What was measured around an allocation says of a unit's choice in it, as a multiple of what was
// measured first.
double ratio_of(const std::map<std::size_t, KnapsackOption>& first,
                const std::map<std::size_t, KnapsackOption>& around, std::size_t at) {
  const double before = first.at(at).loss - first.at(0).loss;
  const double now = around.at(at).loss - around.at(0).loss;
  if (at == 0 || before <= 0 || now <= 0) return 1.0;
  return std::clamp(now / before, 1 / kLargestRatio, kLargestRatio);
}

}  // namespace

std::optional<Allocation> least_loss(const Sensitivities& sensitivities, std::uint64_t budget) {
  const Problem problem(sensitivities);
  return problem.allocation(problem.solver().best(budget));
}

std::optional<Allocation> least_bytes(const Sensitivities& sensitivities, double loss) {
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

std::vector<std::size_t> frontier(const std::map<std::size_t, KnapsackOption>& unit) {
  std::vector<std::pair<KnapsackOption, std::size_t>> sorted;
  for (const auto& [number, option] : unit) sorted.emplace_back(option, number);
  std::ranges::sort(sorted, {}, [](const auto& entry) {
    return std::pair(entry.first.weight, entry.first.loss);
  });
  std::vector<std::size_t> kept;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [option, number] : sorted) {
    if (option.loss >= least) continue;
    least = option.loss;
    kept.push_back(number);
  }
  return kept;
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

std::vector<std::size_t> neighbours(const std::map<std::size_t, KnapsackOption>& unit,
                                    std::size_t option, std::size_t reach) {
  std::vector<std::size_t> all = frontier(unit);
  std::erase(all, option);
  const auto weight = [&](std::size_t number) { return unit.at(number).weight; };
  const auto above = static_cast<std::size_t>(
      std::ranges::lower_bound(all, weight(option), {}, weight) - all.begin());
  const std::size_t first = above > reach ? above - reach : 0;
  const std::size_t end = std::min(all.size(), above + reach);
  return {all.begin() + static_cast<std::ptrdiff_t>(first),
          all.begin() + static_cast<std::ptrdiff_t>(end)};
}

Sensitivities around_allocation(const Sensitivities& first, const Sensitivities& around,
                                const std::vector<std::size_t>& at) {
  Sensitivities expected = first;
  for (std::size_t unit = 0; unit < first.size(); ++unit) {
    std::map<std::size_t, KnapsackOption> measured = around[unit];
    measured[at[unit]] = {first[unit].at(at[unit]).weight, 0.0};
    const double ratio = ratio_of(first[unit], measured, at[unit]);
    const double zero = measured.at(0).loss;
    for (auto& [number, option] : expected[unit]) {
      const auto found = measured.find(number);
      option.loss = found != measured.end() ? found->second.loss - zero : ratio * option.loss;
    }
  }
  return expected;
}

Sensitivities scaled(Sensitivities sensitivities,
                     const std::function<double(std::size_t, std::size_t)>& factor) {
  for (std::size_t unit = 0; unit < sensitivities.size(); ++unit) {
    for (auto& [number, option] : sensitivities[unit]) option.loss *= factor(unit, number);
  }
  return sensitivities;
}

}  // namespace terse
