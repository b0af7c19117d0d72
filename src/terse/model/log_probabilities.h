// What a model thought of the tokens that were chosen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace terse {

struct TokenLogProbability {
  std::int32_t id = 0;
  double value = 0;  ///< Natural logarithm.
};

struct TokenLogProbabilities {
  TokenLogProbability chosen;
  std::vector<TokenLogProbability> best;  ///< The most probable tokens, best first.
};

/// Log-softmax of logits [vocab_size]: that of the token `chosen` and those of the `count` most
/// probable tokens (of equal ones the lowest ids). The logits are the model's own, before
/// temperature, filters and penalties.
TokenLogProbabilities log_probabilities(std::span<const float> logits, std::int32_t chosen,
                                        std::int64_t count);

}  // namespace terse
