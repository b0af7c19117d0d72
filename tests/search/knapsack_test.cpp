// The solver beside every combination there is.
#include "terse/search/knapsack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "support/expect_error.h"
#include "terse/core/random.h"

namespace terse::test {
namespace {

using Units = std::vector<std::vector<KnapsackOption>>;

// Calls `visit` with every combination of options.
void for_each_combination(const Units& units,
                          const std::function<void(std::uint64_t weight, double loss)>& visit) {
  const std::function<void(std::size_t, std::uint64_t, double)> go =
      [&](std::size_t unit, std::uint64_t weight, double loss) {
        if (unit == units.size()) return visit(weight, loss);
        for (const KnapsackOption& option : units[unit]) {
          go(unit + 1, weight + option.weight, loss + option.loss);
        }
      };
  go(0, 0, 0.0);
}

double least_loss(const Units& units, std::uint64_t budget) {
  double least = std::numeric_limits<double>::infinity();
  for_each_combination(units, [&](std::uint64_t weight, double loss) {
    if (weight <= budget) least = std::min(least, loss);
  });
  return least;
}

std::uint64_t least_weight(const Units& units, double most) {
  std::uint64_t least = ~std::uint64_t{0};
  for_each_combination(units, [&](std::uint64_t weight, double loss) {
    if (loss <= most) least = std::min(least, weight);
  });
  return least;
}

// Losses fall with weight as they do for bits, now and then against it; eighths are exact in sums.
Units random_units(std::uint64_t seed) {
  Random random(seed);
  Units units(2 + random.below(4));
  for (auto& unit : units) {
    unit.resize(1 + random.below(5));
    for (KnapsackOption& option : unit) {
      option.weight = random.below(50);
      option.loss = static_cast<double>(random.below(400)) / 8.0 - 5.0;
    }
  }
  return units;
}

void expect_sums(const Units& units, const KnapsackSolution& solution) {
  ASSERT_EQ(solution.options.size(), units.size());
  std::uint64_t weight = 0;
  double loss = 0;
  for (std::size_t i = 0; i < units.size(); ++i) {
    weight += units[i].at(solution.options[i]).weight;
    loss += units[i].at(solution.options[i]).loss;
  }
  EXPECT_EQ(solution.weight, weight);
  EXPECT_EQ(solution.loss, loss);
}

TEST(Knapsack, FindsWhatEveryCombinationFinds) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Units units = random_units(seed);
    const Knapsack knapsack(units);
    for (std::uint64_t budget = 0; budget < 260; budget += 13) {
      const double least = least_loss(units, budget);
      const auto solution = knapsack.best(budget);
      ASSERT_EQ(solution.has_value(), std::isfinite(least)) << seed << " " << budget;
      if (!solution) continue;
      EXPECT_EQ(solution->loss, least) << seed << " " << budget;
      EXPECT_LE(solution->weight, budget);
      expect_sums(units, *solution);
    }
    for (double most = -30; most < 200; most += 11.5) {
      const std::uint64_t least = least_weight(units, most);
      const auto solution = knapsack.lightest(most);
      ASSERT_EQ(solution.has_value(), least != ~std::uint64_t{0});
      if (!solution) continue;
      EXPECT_EQ(solution->weight, least);
      expect_sums(units, *solution);
    }
    EXPECT_EQ(knapsack.least_weight(), least_weight(units, 1e300));
    EXPECT_EQ(knapsack.least_loss(), least_loss(units, 100000));
  }
}

// Thousands of sums in a few cells: the budget is kept, and what is lost is bounded.
TEST(Knapsack, CellsKeepTheBudget) {
  Random random(7);
  Units units(40);
  for (auto& unit : units) {
    for (int bits = 2; bits <= 8; ++bits) {
      unit.push_back({static_cast<std::uint64_t>(bits) * (1000 + random.below(9000)),
                      static_cast<double>(1 + random.below(1000)) * std::pow(4.0, -bits)});
    }
  }
  const Knapsack exact(units, std::size_t{1} << 18);
  const Knapsack rough(units, 2000);
  for (const std::uint64_t budget : {900000U, 1100000U, 1500000U}) {
    const auto best = exact.best(budget);
    const auto near = rough.best(budget);
    ASSERT_TRUE(best && near);
    EXPECT_LE(near->weight, budget);
    EXPECT_GE(near->loss, best->loss * (1 - 1e-12));
    EXPECT_LT(near->loss, best->loss * 1.02);
    // The lightest solution stays whatever is left out.
    EXPECT_EQ(rough.least_weight(), exact.least_weight());
  }
}

TEST(Knapsack, NothingFitsOrNothingToChooseFrom) {
  const Knapsack knapsack(Units{{{10, 1.0}}, {{5, 2.0}, {4, 3.0}}});
  EXPECT_FALSE(knapsack.best(13).has_value());
  EXPECT_EQ(knapsack.best(14)->options, (std::vector<std::size_t>{0, 1}));
  EXPECT_FALSE(knapsack.lightest(2.9).has_value());
  EXPECT_EQ(Knapsack(Units{}).best(0)->weight, 0U);
  expect_error(ErrorKind::failed, "no option", [] { Knapsack{Units(1)}; });
}

}  // namespace
}  // namespace terse::test
