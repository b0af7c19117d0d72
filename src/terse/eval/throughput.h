// How fast a model reads a prompt and writes, and the least that it must do for that.
#pragma once

#include <cstdint>

#include "terse/model/key_value_cache.h"
#include "terse/model/model.h"

namespace terse {

struct ThroughputOptions {
  std::int64_t prompt_tokens = 512;
  std::int64_t tokens = 32;  ///< Written after it, 2 at least: the first belongs to the prompt.
  CacheOptions cache = {};
};

/// In tokens per second.
struct Throughput {
  double prompt = 0;      ///< From the beginning to the first new token.
  double generation = 0;  ///< From the first new token to the last.
};

/// Reads a prompt of tokens drawn from a fixed seed and writes, once. The model must be loaded.
/// Errors: bad_usage for lengths that are no numbers of tokens or beyond the model's context.
Throughput measure_throughput(const Model& model, const ThroughputOptions& options);

/// What a token takes on average in such a run. Linears of experts count as often as a row takes
/// them; norms and activations are left out.
struct TokenCost {
  double prompt_operations = 0;   ///< Of products and attention; a multiply-add is two.
  double integer_operations = 0;  ///< Those of them that multiply integers of 8 bits.
  double generation_bytes = 0;    ///< Of weights, as they are held in memory, and of the cache.
};

/// `activations` is what the model was loaded with. Products with weights that are made of several
/// parts count as those of integers where all parts are.
TokenCost token_cost(const Model& model, ActivationType activations,
                     const ThroughputOptions& options);

}  // namespace terse
