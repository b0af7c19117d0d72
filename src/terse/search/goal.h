// What a search is to reach, and how far estimates and candidates are from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "terse/core/error.h"
#include "terse/search/candidates.h"
#include "terse/search/estimates.h"

namespace terse {

/// What a goal makes small.
enum class SearchObjective { kl, size };

/// What is wanted; one of the three bounds must be given.
struct SearchGoal {
  std::optional<double> bits_per_weight;  ///< At most, over the whole model: least divergence.
  std::optional<std::uint64_t> bytes;     ///< At most, of all tensors: least divergence.
  std::optional<double> max_kl;           ///< Nats per token at most: fewest bytes.

  std::optional<SearchObjective> objective;  ///< Left out: the one that the bound leaves.

  /// Errors: bad_usage unless exactly one bound is given, and not of the objective itself.
  void check() const;
};

/// Sizes of the model, as far as goals go.
struct ModelSize {
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;  ///< Of the dense model.
};

/// What candidates have shown of the estimates that they were made by.
struct GoalCorrection {
  std::uint64_t bytes_over = 0;  ///< To stay below the budget.
  double share = 1.0;            ///< Of the divergence asked for that may be expected.
};

class Goal {
 public:
  Goal(const SearchGoal& wanted, const ModelSize& size);

  /// Whether a candidate is what is wanted, and whether it is better than another: nearer to the
  /// goal, or beyond it.
  bool met_by(const Candidate& candidate) const;
  bool prefers(const Candidate& one, const Candidate& other) const;

  /// The best allocation by estimates; nothing where they say that the goal cannot be met.
  std::optional<Assignment> allocate(const Sensitivities& expected,
                                     const GoalCorrection& correction = {}) const;

  /// Learns from a candidate; whether another try is worth it.
  bool correct(const Candidate& made, GoalCorrection& correction) const;

  /// Whether an allocation is expected to be better than another.
  bool better(const Assignment& one, const Assignment& other) const;

  /// Whether an allocation may turn out better than the one that is expected to be best.
  bool nearly_as_good(const Assignment& one, const Assignment& best) const;

  /// Says what can be reached: bad_usage.
  Error unreachable(const Sensitivities& expected) const;

  /// The model as it is meets the goal, or nothing else does: bad_usage.
  Error nothing_to_do() const;

  /// Bits for each weight of the dense model.
  double bits(std::uint64_t bytes) const;

 private:
  std::optional<std::uint64_t> budget_;
  double max_kl_ = 0;
  ModelSize size_;
};

}  // namespace terse
