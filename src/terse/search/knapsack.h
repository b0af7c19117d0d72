// Which of several options each unit takes, so that what is lost is least and what is used stays
// within a budget: the multiple-choice knapsack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace terse {

/// One option of a unit: what it uses of the budget, and what it loses (any real number).
struct KnapsackOption {
  std::uint64_t weight = 0;
  double loss = 0;
};

/// An option for each unit, and their sums.
struct KnapsackSolution {
  std::uint64_t weight = 0;
  double loss = 0;
  std::vector<std::size_t> options;  ///< By unit.
};

/// Every sum of weights and losses that no other sum beats in both, by dynamic programming over
/// units (Kellerer, Pferschy, Pisinger: Knapsack Problems, 2004, section 11.5). Exact while there
/// are at most `cells` such sums after a unit; beyond that the range of weights is cut into so many
/// equal cells, of each of which the sum of least loss stays: weights are never rounded, so a
/// budget is always kept, and what is lost is at most the worth of a cell for each unit.
class Knapsack {
 public:
  static constexpr std::size_t kCells = 1 << 15;

  /// Every unit must have an option. Errors: failed.
  explicit Knapsack(const std::vector<std::vector<KnapsackOption>>& units,
                    std::size_t cells = kCells);

  /// The least loss within a budget; nothing when no solution is so light.
  std::optional<KnapsackSolution> best(std::uint64_t budget) const;

  /// The least weight of those that lose at most `loss`; nothing when all lose more.
  std::optional<KnapsackSolution> lightest(double loss) const;

  std::uint64_t least_weight() const { return last().front().weight; }
  double least_loss() const { return last().back().loss; }

 private:
  // A sum over the units so far. Layers are sorted: weights rise, losses fall.
  struct Sum {
    std::uint64_t weight;
    double loss;
    std::uint32_t before;  // of the layer before
    std::uint32_t option;  // of the unit
  };
  using Layer = std::vector<Sum>;

  static Layer extended(const Layer& before, const std::vector<KnapsackOption>& unit);
  static void keep_undominated(Layer& layer);
  static void thin(Layer& layer, std::size_t cells);
  const Layer& last() const { return layers_.back(); }
  KnapsackSolution solution(std::size_t sum) const;

  std::vector<Layer> layers_;
};

}  // namespace terse
