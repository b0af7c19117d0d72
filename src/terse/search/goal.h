// What a search is to reach, and how far estimates and candidates are from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "terse/core/error.h"
#include "terse/search/candidates.h"
#include "terse/search/estimates.h"
#include "terse/search/usage.h"

namespace terse {

/// What a goal makes small.
enum class SearchObjective { kl, size, memory, time };

/// What is wanted; one of the bounds must be given.
struct SearchGoal {
  std::optional<double> bits_per_weight = {};  ///< At most, over the whole model: least divergence.
  std::optional<std::uint64_t> bytes = {};     ///< At most, of all tensors: least divergence.
  std::optional<std::uint64_t> memory = {};    ///< At most, of weights held: least divergence.
  std::optional<double> token_seconds = {};    ///< At most, for a token written: least divergence.
  std::optional<double> max_kl = {};           ///< Nats per token at most: least of the objective.

  /// Left out: the divergence or, where that is bounded, the size.
  std::optional<SearchObjective> objective = {};

  /// Errors: bad_usage unless exactly one bound is given, and not of the objective itself.
  void check() const;

  /// What is bounded or, where divergence is, made small.
  Resource resource() const;
};

/// The dense model, as far as goals go.
struct DenseModel {
  std::int64_t parameters = 0;
  Sizes sizes;
  double token_seconds = 0;  ///< 0: not measured.
};

/// What candidates have shown of the estimates that they were made by.
struct GoalCorrection {
  std::uint64_t over = 0;  ///< To stay below the budget.
  double share = 1.0;      ///< Of the divergence that is left to choices that may be expected.
};

/// All amounts are bytes of the goal's resource; time stands for the bytes that are held: as many
/// as the dense model reads in that time.
class Goal {
 public:
  Goal(const SearchGoal& wanted, const DenseModel& dense);

  /// Whether a candidate is what is wanted, and whether it is better than another: nearer to the
  /// goal, or beyond it.
  bool met_by(const Candidate& candidate) const;
  /// Whether the model as it is keeps to what is bounded; never where divergence is.
  bool met_by_dense() const;
  bool prefers(const Candidate& one, const Candidate& other) const;

  /// The best allocation by estimates; nothing where they say that the goal cannot be met.
  std::optional<Assignment> allocate(const Sensitivities& expected,
                                     const GoalCorrection& correction = {}) const;

  /// Learns from a candidate that was made of what was expected; whether another try is worth it.
  bool correct(const Candidate& made, const Sensitivities& expected,
               GoalCorrection& correction) const;

  /// Whether an allocation is expected to be better than another.
  bool better(const Assignment& one, const Assignment& other) const;

  /// Whether an allocation may turn out better than the one that is expected to be best.
  bool nearly_as_good(const Assignment& one, const Assignment& best) const;

  /// Says what can be reached: bad_usage.
  Error unreachable(const Sensitivities& expected) const;

  /// The model as it is meets the goal, or nothing else does: bad_usage.
  Error nothing_to_do() const;

 private:
  std::uint64_t amount(const Candidate& candidate) const;
  std::uint64_t read_in(double seconds) const;
  double slope(const Candidate& made) const;
  std::string text(std::uint64_t amount) const;

  Resource resource_;
  DenseModel dense_;
  std::optional<std::uint64_t> budget_;
  double max_kl_;
};

}  // namespace terse
