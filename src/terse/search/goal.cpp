#include "terse/search/goal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "terse/core/text.h"

namespace terse {
namespace {

// What is expected to be so much worse than the best may turn out to be better.
constexpr double kNearlyAsGood = 1.15;
// Divergence that comes so near to what is asked for is near enough.
constexpr double kNearEnough = 1.02;

// What is lost whatever is chosen.
double fixed_loss(const Sensitivities& expected) {
  return expected.back().at(0).loss;
}

}  // namespace

void SearchGoal::check() const {
  const int given = (bits_per_weight ? 1 : 0) + (bytes ? 1 : 0) + (memory ? 1 : 0) +
                    (token_seconds ? 1 : 0) + (max_kl ? 1 : 0);
  if (given != 1) {
    throw bad_usage(
        "{} are given; expected one of --target-bpw, --target-size, --target-memory, --target-time "
        "and --max-kl",
        given == 0 ? "no goals" : "several goals");
  }
  if (!objective || (*objective == SearchObjective::kl) != max_kl.has_value()) return;
  if (max_kl) throw bad_usage("--objective kl: expected a --target, which bounds something else");
  throw bad_usage(
      "--objective size, memory or time: expected --max-kl, which bounds the divergence");
}

Resource SearchGoal::resource() const {
  if (memory || objective == SearchObjective::memory) return Resource::memory;
  if (token_seconds || objective == SearchObjective::time) return Resource::time;
  return Resource::size;
}

Goal::Goal(const SearchGoal& wanted, const DenseModel& dense)
    : resource_(wanted.resource()),
      dense_(dense),
      budget_(wanted.bytes ? wanted.bytes : wanted.memory),
      max_kl_(wanted.max_kl.value_or(0.0)) {
  if (wanted.bits_per_weight) {
    budget_ = static_cast<std::uint64_t>(*wanted.bits_per_weight / 8.0 *
                                         static_cast<double>(dense.parameters));
  }
  if (wanted.token_seconds) budget_ = read_in(*wanted.token_seconds);
}

std::uint64_t Goal::read_in(double seconds) const {
  return static_cast<std::uint64_t>(seconds / dense_.token_seconds *
                                    static_cast<double>(dense_.sizes.held));
}

std::uint64_t Goal::amount(const Candidate& candidate) const {
  return resource_ == Resource::time ? read_in(candidate.token_seconds)
                                     : candidate.sizes.of(resource_);
}

bool Goal::met_by(const Candidate& candidate) const {
  return budget_ ? amount(candidate) <= *budget_ : candidate.kl.mean <= max_kl_;
}

bool Goal::met_by_dense() const {
  return budget_ && dense_.sizes.of(resource_) <= *budget_;
}

bool Goal::prefers(const Candidate& one, const Candidate& other) const {
  if (met_by(one) != met_by(other)) return met_by(one);
  // Where both miss it, the one that misses it by less.
  const bool by_kl = budget_.has_value() == met_by(one);
  return by_kl ? one.kl.mean < other.kl.mean : amount(one) < amount(other);
}

std::optional<Assignment> Goal::allocate(const Sensitivities& expected,
                                         const GoalCorrection& correction) const {
  if (!budget_) {
    const double fixed = fixed_loss(expected);
    return least_bytes(expected, fixed + (max_kl_ - fixed) * correction.share);
  }
  if (*budget_ < correction.over) return std::nullopt;
  return least_loss(expected, *budget_ - correction.over);
}

// How much less of the goal's amount there is for a byte that is held less, by the dense model and
// a candidate: 1 but for time, of which a part does not depend on weights.
double Goal::slope(const Candidate& made) const {
  if (resource_ != Resource::time || made.sizes.held >= dense_.sizes.held) return 1;
  const double saved = static_cast<double>(dense_.sizes.held) - static_cast<double>(amount(made));
  return std::clamp(saved / static_cast<double>(dense_.sizes.held - made.sizes.held), 0.1, 1.0);
}

bool Goal::correct(const Candidate& made, const Sensitivities& expected,
                   GoalCorrection& correction) const {
  if (budget_) {
    if (met_by(made)) return false;
    correction.over += static_cast<std::uint64_t>(
        std::ceil(static_cast<double>(amount(made) - *budget_) / slope(made)));
    return true;
  }
  const double fixed = fixed_loss(expected);
  if (made.kl.mean <= fixed) return false;
  const double ratio = (max_kl_ - fixed) / (made.kl.mean - fixed);
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

std::string Goal::text(std::uint64_t amount) const {
  switch (resource_) {
    case Resource::size:
      return fmt::format("{:.3f} bits per weight ({})",
                         8.0 * static_cast<double>(amount) / static_cast<double>(dense_.parameters),
                         bytes_text(amount));
    case Resource::memory:
      return fmt::format("{} in memory", bytes_text(amount));
    case Resource::time:
      return fmt::format("{:.3g} ms a token", 1e3 * dense_.token_seconds *
                                                  static_cast<double>(amount) /
                                                  static_cast<double>(dense_.sizes.held));
  }
  throw failure("there is no such resource");
}

Error Goal::unreachable(const Sensitivities& expected) const {
  const bool time = resource_ == Resource::time;
  return bad_usage("the model cannot be made as {} as {} by these choices; the {} {}",
                   time ? "fast" : "small", text(budget_.value_or(0)),
                   time ? "fastest is expected to take" : "smallest is",
                   text(fewest_bytes(expected)));
}

Error Goal::nothing_to_do() const {
  return bad_usage(
      "the goal is met by the model as it is ({}), or by nothing else; ask for something smaller",
      text(dense_.sizes.of(resource_)));
}

}  // namespace terse
