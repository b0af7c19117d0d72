// Choices within a budget, held against all choices there are.
#include "terse/methods/lowrank/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/expect_error.h"
#include "terse/core/random.h"

namespace terse {
namespace {

using Lists = std::vector<std::vector<Choice>>;

struct Sum {
  double cost = 0;
  double loss = 0;
};

Sum sum_of(const Lists& lists, const std::vector<std::size_t>& chosen) {
  Sum sum;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    sum.cost += lists[i][chosen[i]].cost;
    sum.loss += lists[i][chosen[i]].loss;
  }
  return sum;
}

double least_loss(const Lists& lists, double budget, std::size_t from = 0) {
  if (from == lists.size()) return 0;
  double least = HUGE_VAL;
  for (const Choice& choice : lists[from]) {
    if (choice.cost > budget) break;
    least = std::min(least, choice.loss + least_loss(lists, budget - choice.cost, from + 1));
  }
  return least;
}

// The tails of random spectra, as ranks of linears of different shapes lose them; `whole`: with the
// linear as it is for a last choice, which costs less than all ranks.
Lists random_lists(std::uint64_t seed, bool alike, bool whole) {
  Random random(seed);
  const auto uniform = [&] { return static_cast<double>(random.next() >> 11) * 0x1p-53; };
  Lists lists;
  for (int i = 0; i < 4; ++i) {
    const double cost = alike ? 3 : 2 + static_cast<double>(random.next() % 4);
    std::vector<double> energies;
    for (int k = 0; k < 6; ++k) energies.push_back(uniform() * uniform());
    std::ranges::sort(energies, std::greater());
    double loss = 0;
    for (const double energy : energies) loss += energy;
    std::vector<Choice>& choices = lists.emplace_back();
    for (std::size_t k = 0; k < energies.size(); ++k) {
      loss -= energies[k];
      choices.push_back({cost * static_cast<double>(k + 1), loss});
    }
    if (whole) {
      choices.resize(4);
      choices.push_back({cost * 4.5, 0});
    }
  }
  return lists;
}

TEST(Budgets, AreSpentAsWellAsCanBe) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Lists lists = random_lists(seed, true, false);
    for (double budget = 12; budget <= 75; budget += 1) {
      const Sum found = sum_of(lists, choose_within(lists, budget));
      EXPECT_LE(found.cost, budget);
      EXPECT_NEAR(found.loss, least_loss(lists, budget), 1e-12) << seed << " " << budget;
    }
  }
}

// Of lists whose steps differ in cost the best choice is a knapsack; what is found loses more than
// it by less than the one step that had no room.
TEST(Budgets, AreSpentWellWhereCostsDiffer) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    for (const bool whole : {false, true}) {
      const Lists lists = random_lists(seed, false, whole);
      double largest = 0;
      for (const auto& choices : lists) {
        for (std::size_t k = 1; k < choices.size(); ++k) {
          largest = std::max(largest, choices[k - 1].loss - choices[k].loss);
        }
      }
      int exact = 0;
      int budgets = 0;
      for (double budget = 20; budget <= 80; budget += 1, ++budgets) {
        const Sum found = sum_of(lists, choose_within(lists, budget));
        const double least = least_loss(lists, budget);
        EXPECT_LE(found.cost, budget);
        EXPECT_LE(found.loss, least + largest) << seed << " " << budget;
        exact += found.loss < least + 1e-12 ? 1 : 0;
      }
      EXPECT_GE(exact, budgets / 4) << seed;
    }
  }
}

TEST(Budgets, BeginWithTheFirstChoices) {
  const Lists lists = {{{2, 1}, {4, 0}}, {{3, 5}, {6, 1}, {7, 1}}};
  EXPECT_EQ(choose_within(lists, 5), (std::vector<std::size_t>{0, 0}));
  EXPECT_EQ(choose_within(lists, 7), (std::vector<std::size_t>{1, 0}));
  EXPECT_EQ(choose_within(lists, 8), (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(choose_within(lists, 100), (std::vector<std::size_t>{1, 1}));
  EXPECT_TRUE(choose_within({}, 1).empty());
  test::expect_error(ErrorKind::usage, "4 is below 5, the least", [&] { choose_within(lists, 4); });
}

}  // namespace
}  // namespace terse
