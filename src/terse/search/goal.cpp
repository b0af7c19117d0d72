#include "terse/search/goal.h"

#include "terse/core/text.h"

namespace terse {
namespace {

// What is expected to be so much worse than the best may turn out to be better.
constexpr double kNearlyAsGood = 1.15;
// Divergence that comes so near to what is asked for is near enough.
constexpr double kNearEnough = 1.02;

}  // namespace

void SearchGoal::check() const {
  const int given = (bits_per_weight ? 1 : 0) + (bytes ? 1 : 0) + (max_kl ? 1 : 0);
  if (given != 1) {
    throw bad_usage("{} are given; expected one of --target-bpw, --target-size and --max-kl",
                    given == 0 ? "no goals" : "several goals");
  }
  const SearchObjective left = max_kl ? SearchObjective::size : SearchObjective::kl;
  if (objective.value_or(left) == left) return;
  throw bad_usage("--objective {}: expected {}, which bounds the other one",
                  *objective == SearchObjective::kl ? "kl" : "size",
                  *objective == SearchObjective::kl ? "--target-bpw or --target-size" : "--max-kl");
}

Goal::Goal(const SearchGoal& wanted, const ModelSize& size)
    : budget_(wanted.bytes), max_kl_(wanted.max_kl.value_or(0.0)), size_(size) {
  if (wanted.bits_per_weight) {
    budget_ = static_cast<std::uint64_t>(*wanted.bits_per_weight / 8.0 *
                                         static_cast<double>(size.parameters));
  }
}

bool Goal::met_by(const Candidate& candidate) const {
  return budget_ ? candidate.bytes <= *budget_ : candidate.kl.mean <= max_kl_;
}

bool Goal::prefers(const Candidate& one, const Candidate& other) const {
  if (met_by(one) != met_by(other)) return met_by(one);
  // Where both miss it, the one that misses it by less.
  const bool by_kl = budget_.has_value() == met_by(one);
  return by_kl ? one.kl.mean < other.kl.mean : one.bytes < other.bytes;
}

std::optional<Assignment> Goal::allocate(const Sensitivities& expected,
                                         const GoalCorrection& correction) const {
  if (!budget_) return least_bytes(expected, max_kl_ * correction.share);
  if (*budget_ < correction.bytes_over) return std::nullopt;
  return least_loss(expected, *budget_ - correction.bytes_over);
}

bool Goal::correct(const Candidate& made, GoalCorrection& correction) const {
  if (budget_) {
    if (made.bytes <= *budget_) return false;
    correction.bytes_over += made.bytes - *budget_;
    return true;
  }
  const double ratio = max_kl_ / made.kl.mean;
  if (ratio >= 1 && ratio < kNearEnough) return false;
  correction.share *= ratio / ((1 + kNearEnough) / 2);
  return true;
}

bool Goal::better(const Assignment& one, const Assignment& other) const {
  return budget_ ? one.loss < other.loss : one.bytes < other.bytes;
}

bool Goal::nearly_as_good(const Assignment& one, const Assignment& best) const {
  if (budget_) return one.loss < kNearlyAsGood * best.loss;
  return static_cast<double>(one.bytes) < kNearlyAsGood * static_cast<double>(best.bytes);
}

double Goal::bits(std::uint64_t bytes) const {
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(size_.parameters);
}

Error Goal::unreachable(const Sensitivities& expected) const {
  const std::uint64_t least = fewest_bytes(expected);
  return bad_usage(
      "the model cannot be made as small as {:.3f} bits per weight ({}) by these choices; the "
      "smallest is {:.3f} ({})",
      bits(budget_.value_or(0)), bytes_text(budget_.value_or(0)), bits(least), bytes_text(least));
}

Error Goal::nothing_to_do() const {
  return bad_usage(
      "the goal is met by the model as it is ({:.3f} bits per weight), or by nothing else; ask "
      "for something smaller",
      bits(size_.bytes));
}

}  // namespace terse
