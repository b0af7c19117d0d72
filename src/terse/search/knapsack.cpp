#include "terse/search/knapsack.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "terse/core/error.h"

namespace terse {

Knapsack::Knapsack(const std::vector<std::vector<KnapsackOption>>& units, std::size_t cells) {
  layers_.push_back({{0, 0.0, 0, 0}});
  for (const std::vector<KnapsackOption>& unit : units) {
    if (unit.empty()) throw failure("a unit of the knapsack has no option");
    Layer next = extended(layers_.back(), unit);
    thin(next, cells);
    layers_.push_back(std::move(next));
  }
}

// Each option moves the whole layer, which stays sorted: the sums are merged one option after the
// other, so that there are never more of them than two layers hold.
Knapsack::Layer Knapsack::extended(const Layer& before, const std::vector<KnapsackOption>& unit) {
  const auto lighter = [](const Sum& a, const Sum& b) {
    return std::pair(a.weight, a.loss) < std::pair(b.weight, b.loss);
  };
  Layer all;
  for (std::size_t option = 0; option < unit.size(); ++option) {
    Layer moved;
    moved.reserve(before.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
      moved.push_back({before[i].weight + unit[option].weight, before[i].loss + unit[option].loss,
                       static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(option)});
    }
    Layer merged;
    merged.reserve(all.size() + moved.size());
    std::ranges::merge(all, moved, std::back_inserter(merged), lighter);
    keep_undominated(merged);
    all = std::move(merged);
  }
  return all;
}

// Of sums sorted by weight those stay that lose less than all lighter ones.
void Knapsack::keep_undominated(Layer& layer) {
  std::size_t kept = 0;
  for (const Sum& sum : layer) {
    if (kept == 0 || sum.loss < layer[kept - 1].loss) layer[kept++] = sum;
  }
  layer.resize(kept);
}

void Knapsack::thin(Layer& layer, std::size_t cells) {
  if (layer.size() <= cells) return;
  const std::uint64_t first = layer.front().weight;
  const std::uint64_t range = layer.back().weight - first;
  const auto cell = [&](const Sum& sum) {
    return static_cast<std::size_t>(static_cast<double>(sum.weight - first) /
                                    static_cast<double>(range) * static_cast<double>(cells - 1));
  };
  Layer kept{layer.front()};
  for (std::size_t i = 1; i < layer.size(); ++i) {
    // The last of a cell loses least; the lightest of all must stay.
    const bool same = kept.size() > 1 && cell(kept.back()) == cell(layer[i]);
    if (same) {
      kept.back() = layer[i];
    } else {
      kept.push_back(layer[i]);
    }
  }
  layer = std::move(kept);
}

KnapsackSolution Knapsack::solution(std::size_t sum) const {
  KnapsackSolution solution{last()[sum].weight, last()[sum].loss, {}};
  for (std::size_t layer = layers_.size() - 1; layer > 0; --layer) {
    solution.options.push_back(layers_[layer][sum].option);
    sum = layers_[layer][sum].before;
  }
  std::ranges::reverse(solution.options);
  return solution;
}

std::optional<KnapsackSolution> Knapsack::best(std::uint64_t budget) const {
  const auto above = std::ranges::upper_bound(last(), budget, {}, &Sum::weight);
  if (above == last().begin()) return std::nullopt;
  return solution(static_cast<std::size_t>(above - last().begin()) - 1);
}

std::optional<KnapsackSolution> Knapsack::lightest(double loss) const {
  const auto found = std::ranges::find_if(last(), [&](const Sum& sum) { return sum.loss <= loss; });
  if (found == last().end()) return std::nullopt;
  return solution(static_cast<std::size_t>(found - last().begin()));
}

}  // namespace terse
