// Choosing the next token from logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "terse/core/random.h"

namespace terse {

/// Words and order of Hugging Face's logits processors: penalty, temperature, top-k, top-p, min-p.
struct SamplingOptions {
  double temperature = 0.0;         ///< 0 is greedy.
  std::int64_t top_k = 0;           ///< Keep the k most probable tokens; 0 keeps all.
  double top_p = 1.0;               ///< Keep the smallest set with this probability.
  double min_p = 0.0;               ///< Drop tokens below this share of the best one's probability.
  double repetition_penalty = 1.0;  ///< Keskar et al., arXiv 1909.05858, section 4.1.
  std::uint64_t seed = 0;

  /// Errors: bad_usage naming the option.
  void validate() const;
};

/// Draws tokens of one sequence; the same seed gives the same tokens.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {}

  /// The next token from logits [vocab_size]; `seen` are the tokens so far (for the penalty).
  /// Ties go to the lowest id. Errors: failed when a logit is NaN.
  std::int32_t next(std::span<const float> logits, std::span<const std::int32_t> seen);

 private:
  SamplingOptions options_;
  Random random_;
};

}  // namespace terse
