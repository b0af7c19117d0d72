#include "terse/model/sampler.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "terse/core/error.h"

namespace terse {
namespace {

struct Candidate {
  std::int32_t id;
  double value;  // logit, then probability
};

void penalise(std::vector<float>& logits, std::span<const std::int32_t> seen, double penalty) {
  const std::unordered_set<std::int32_t> distinct(seen.begin(), seen.end());
  for (const std::int32_t id : distinct) {
    float& logit = logits[static_cast<std::size_t>(id)];
    logit = static_cast<float>(logit > 0 ? logit / penalty : logit * penalty);
  }
}

bool better(const Candidate& a, const Candidate& b) {
  return a.value > b.value || (a.value == b.value && a.id < b.id);
}

std::vector<Candidate> candidates_of(std::span<const float> logits, double temperature) {
  std::vector<Candidate> candidates(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    candidates[i] = {static_cast<std::int32_t>(i), logits[i] / temperature};
  }
  return candidates;
}

// Keeps the `count` best, best first.
void keep_best(std::vector<Candidate>& candidates, std::size_t count) {
  count = std::min(count, candidates.size());
  std::ranges::partial_sort(candidates, candidates.begin() + static_cast<std::ptrdiff_t>(count),
                            better);
  candidates.resize(count);
}

// Logits to probabilities.
void normalise(std::vector<Candidate>& candidates) {
  const double best = std::ranges::min_element(candidates, better)->value;
  double sum = 0;
  for (Candidate& candidate : candidates) sum += candidate.value = std::exp(candidate.value - best);
  for (Candidate& candidate : candidates) candidate.value /= sum;
}

void keep_top_p(std::vector<Candidate>& candidates, double top_p) {
  double sum = 0;
  std::size_t kept = 0;
  while (kept < candidates.size() && sum < top_p) sum += candidates[kept++].value;
  candidates.resize(std::max<std::size_t>(1, kept));
}

void keep_min_p(std::vector<Candidate>& candidates, double min_p) {
  const double least = min_p * candidates.front().value;
  const auto end =
      std::ranges::find_if(candidates, [&](const Candidate& c) { return c.value < least; });
  candidates.erase(end, candidates.end());
}

std::int32_t draw(const std::vector<Candidate>& candidates, double uniform) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.value;
  double left = uniform * sum;
  for (const Candidate& candidate : candidates) {
    left -= candidate.value;
    if (left < 0) return candidate.id;
  }
  return candidates.back().id;
}

}  // namespace

void SamplingOptions::validate() const {
  if (!(temperature >= 0 && std::isfinite(temperature))) {
    throw bad_usage("temperature is {}; expected 0 or more", temperature);
  }
  if (top_k < 0) throw bad_usage("top-k is {}; expected 0 or more", top_k);
  if (!(top_p > 0 && top_p <= 1)) throw bad_usage("top-p is {}; expected above 0, up to 1", top_p);
  if (!(min_p >= 0 && min_p <= 1)) throw bad_usage("min-p is {}; expected 0 to 1", min_p);
  if (!(repetition_penalty > 0 && std::isfinite(repetition_penalty))) {
    throw bad_usage("repetition penalty is {}; expected above 0", repetition_penalty);
  }
}

std::int32_t Sampler::next(std::span<const float> logits, std::span<const std::int32_t> seen) {
  if (std::ranges::any_of(logits, [](float logit) { return std::isnan(logit); })) {
    throw failure("the model's logits are NaN; its weights are damaged or its numbers overflow");
  }
  std::vector<float> adjusted(logits.begin(), logits.end());
  if (options_.repetition_penalty != 1.0) penalise(adjusted, seen, options_.repetition_penalty);
  if (options_.temperature == 0) {
    return static_cast<std::int32_t>(std::ranges::max_element(adjusted) - adjusted.begin());
  }
  std::vector<Candidate> candidates = candidates_of(adjusted, options_.temperature);
  if (options_.top_k > 0) {
    keep_best(candidates, static_cast<std::size_t>(options_.top_k));
  } else if (options_.top_p < 1 || options_.min_p > 0) {
    keep_best(candidates, candidates.size());
  }
  normalise(candidates);
  if (options_.top_p < 1) keep_top_p(candidates, options_.top_p);
  if (options_.min_p > 0) keep_min_p(candidates, options_.min_p);
  return draw(candidates, random_.uniform());
}

}  // namespace terse
