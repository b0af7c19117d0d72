// BlockPruner: attention and MLP go one by one, each time that whose absence costs least.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <ranges>
#include <vector>

#include "terse/core/error.h"
#include "terse/methods/shape_method.h"

namespace terse {
namespace {

double parameters_of(const Architecture& a, std::int64_t block, bool attention) {
  double sum = 0;
  for (const LinearRole role : a.roles(block)) {
    const Stage stage = stage_of(role);
    if ((stage == Stage::attention_input || stage == Stage::attention_output) != attention)
      continue;
    sum += static_cast<double>(a.out_features(block, role) * a.in_features(block, role));
  }
  return sum;
}

double parameters_of(const Architecture& a) {
  double sum = 0;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    sum += parameters_of(a, block, true) + parameters_of(a, block, false);
  }
  return sum;
}

// Half of a block.
struct Part {
  std::int64_t block;
  bool attention;
};

std::vector<Part> parts_of(const Architecture& a) {
  std::vector<Part> parts;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    if (a.has_attention(block)) parts.push_back({block, true});
    if (a.has_mlp(block)) parts.push_back({block, false});
  }
  return parts;
}

class BlockPruner : public ShapeMethod {
 public:
  explicit BlockPruner(const MethodOptions& options) : ratio_(options.number("ratio")) {}

  ShapeNeeds needs() const override { return {.evaluator = true}; }

  // Sizes alone: of the parts that may go, the last ones do.
  std::vector<KeptBlock> kept(const Architecture& a) const override {
    const std::vector<Part> parts = parts_of(a);
    std::vector<Part> gone;
    double left = ratio_ * parameters_of(a);
    for (const Part& part : std::views::reverse(parts)) {
      if (gone.size() + 1 == parts.size() || !goes(a, part, left)) continue;
      left -= parameters_of(a, part.block, part.attention);
      gone.push_back(part);
    }
    return without(a, gone);
  }

  // As many rounds as there can be: the smallest parts go first.
  std::int64_t most_evaluations(const Architecture& a) const override {
    std::vector<Part> parts = parts_of(a);
    std::ranges::stable_sort(parts, std::greater(), [&](const Part& part) {
      return parameters_of(a, part.block, part.attention);
    });
    std::int64_t count = 0;
    double left = ratio_ * parameters_of(a);
    for (; parts.size() > 1 && goes(a, parts.back(), left); parts.pop_back()) {
      count += static_cast<std::int64_t>(parts.size());
      left -= parameters_of(a, parts.back().block, parts.back().attention);
    }
    return count;
  }

  // Algorithm 1.
  std::vector<KeptBlock> kept(const Model& model, Evaluator& evaluator) const override {
    const Architecture& a = model.architecture();
    Model pruned = model;
    std::vector<Part> parts = parts_of(a);
    std::vector<Part> gone;
    double left = ratio_ * parameters_of(a);
    while (true) {
      const auto best = least_missed(pruned, parts, left, evaluator);
      if (best == parts.end()) break;
      remove(pruned, *best);
      left -= parameters_of(a, best->block, best->attention);
      gone.push_back(*best);
      parts.erase(best);
    }
    return without(a, gone);
  }

 private:
  // A part goes where the share that was asked for is then nearer.
  static bool goes(const Architecture& a, const Part& part, double left) {
    return left >= parameters_of(a, part.block, part.attention) / 2;
  }

  static void remove(Model& model, const Part& part) {
    part.attention ? model.remove_attention(part.block) : model.remove_mlp(part.block);
  }

  static std::vector<Part>::iterator least_missed(const Model& pruned, std::vector<Part>& parts,
                                                  double left, Evaluator& evaluator) {
    auto best = parts.end();
    double least = std::numeric_limits<double>::infinity();
    for (auto part = parts.begin(); part != parts.end(); ++part) {
      if (parts.size() == 1 || !goes(pruned.architecture(), *part, left)) continue;
      Model candidate = pruned;
      remove(candidate, *part);
      const double loss = evaluator.loss(candidate);
      if (!(loss < least)) continue;
      least = loss;
      best = part;
    }
    return best;
  }

  // Blocks of which both parts went go as a whole.
  std::vector<KeptBlock> without(const Architecture& a, const std::vector<Part>& gone) const {
    if (gone.empty()) {
      throw bad_usage(
          "block_pruner: a ratio of {} is less than half of any attention or MLP; the nearest "
          "that can go is {:.3f}",
          ratio_, least_part(a) / parameters_of(a));
    }
    std::vector<KeptBlock> kept;
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      KeptBlock own{block};
      for (const Part& part : gone) {
        if (part.block != block) continue;
        (part.attention ? own.key_value_heads : own.channels) = std::vector<std::int64_t>();
      }
      const bool any =
          (!own.key_value_heads && a.has_attention(block)) || (!own.channels && a.has_mlp(block));
      if (any || a.norm_after) kept.push_back(own);
    }
    return kept;
  }

  static double least_part(const Architecture& a) {
    double least = std::numeric_limits<double>::infinity();
    for (const Part& part : parts_of(a)) {
      least = std::min(least, parameters_of(a, part.block, part.attention));
    }
    return least;
  }

  double ratio_;
};

const ShapeMethodRegistration registration(
    {"block_pruner",
     "shape",
     "Remove attention and MLP parts one by one, each time the one that is missed least",
     "Zhong, Wan, Chen, Quan, Li: BlockPruner: Fine-grained Pruning for Large Language Models, "
     "2024 "
     "(arXiv:2406.10594), algorithm 1",
     MethodScope::model,
     MethodNeed::evaluator,
     {{"ratio", 0.2, "Share of the parameters of the blocks' linears that goes", {}, 0, 1, true}}},
    [](const MethodOptions& options) { return std::make_unique<BlockPruner>(options); });

}  // namespace
}  // namespace terse
