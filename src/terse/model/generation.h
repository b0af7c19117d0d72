// Generating text: prompts in, tokens out, many sequences at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "terse/model/key_value_cache.h"
#include "terse/model/model.h"
#include "terse/model/sampler.h"

namespace terse {

struct GenerationOptions {
  std::int64_t max_tokens = 128;
  SamplingOptions sampling;
  CacheOptions cache = {};
  std::vector<std::int32_t> stop_tokens;  ///< Ends a sequence; not part of the result.
};

/// A sequence to continue, with its own seed: its result does not depend on the others.
struct Prompt {
  std::vector<std::int32_t> tokens;
  std::uint64_t seed = 0;
};

struct Continuation {
  std::vector<std::int32_t> tokens;
  bool stopped = false;  ///< By a stop token, not by a limit.
};

/// Told of every new token as it comes.
using TokenCallback = std::function<void(std::size_t sequence, std::int32_t token)>;

/// Continues every prompt, up to `max_tokens` or the model's context. The model must be loaded.
/// Errors: bad_input for an empty prompt, one longer than the context, ids outside the vocabulary.
std::vector<Continuation> generate(const Model& model, const std::vector<Prompt>& prompts,
                                   const GenerationOptions& options,
                                   const TokenCallback& on_token = {});

/// End tokens that generation_config.json or config.json name (`eos_token_id`, one or a list).
std::vector<std::int32_t> end_tokens(const Checkpoint& checkpoint);

}  // namespace terse
