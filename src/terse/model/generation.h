// Generating text: prompts in, tokens out, many sequences at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "terse/model/key_value_cache.h"
#include "terse/model/log_probabilities.h"
#include "terse/model/model.h"
#include "terse/model/sampler.h"
#include "terse/model/session.h"

namespace terse {

struct GenerationOptions {
  std::int64_t max_tokens = 128;
  SamplingOptions sampling;
  CacheOptions cache = {};
  std::vector<std::int32_t> stop_tokens;  ///< Ends a sequence; not part of the result.
  std::int64_t batch_size = 0;  ///< Sequences computed at a time; 0: all. No result depends on it.
  /// Gives log-probabilities for every new token, and of so many most probable ones beside it.
  std::optional<std::int64_t> log_probabilities;
};

/// A sequence to continue, with its own seed: its result does not depend on the others.
struct Prompt {
  std::vector<std::int32_t> tokens;
  std::uint64_t seed = 0;
  std::optional<std::int64_t> max_tokens = {};  ///< Instead of that of the options.
};

enum class EndReason {
  limit,       ///< `max_tokens`, or the model's context.
  stop_token,  ///< One of the options'.
  callback,    ///< `on_token` said so.
};

struct Continuation {
  std::vector<std::int32_t> tokens;
  EndReason end = EndReason::limit;
  std::vector<TokenLogProbabilities> log_probabilities;  ///< One for each token, if asked for.
};

/// Told of every new token as it comes.
using TokenCallback = std::function<void(std::size_t sequence, std::int32_t token)>;

/// Told of every new token, and of every sequence that has ended; either may be empty.
struct GenerationCallbacks {
  /// False ends the sequence; the token is its last one.
  std::function<bool(std::size_t sequence, std::int32_t token)> on_token;
  std::function<void(std::size_t sequence, const Continuation&)> on_end;
};

/// Continues every prompt, up to `max_tokens` or the model's context. The model must be loaded.
/// A sequence that ends makes room for the next, which uses what it has in common with it.
/// Errors: bad_input for prompts that `check_prompt` refuses and ids outside the vocabulary.
std::vector<Continuation> generate(const Model& model, const std::vector<Prompt>& prompts,
                                   const GenerationOptions& options,
                                   const TokenCallback& on_token = {});
std::vector<Continuation> generate(const Model& model, const std::vector<Prompt>& prompts,
                                   const GenerationOptions& options,
                                   const GenerationCallbacks& callbacks);

/// The same for one prompt in a session, whose keys and values are used again and
/// kept, with room to spare for what follows. The same tokens as without the session.
Continuation generate(Session& session, const Prompt& prompt, const GenerationOptions& options,
                      const GenerationCallbacks& callbacks);

/// Errors: bad_input for a prompt without tokens, and for one that fills the model's context.
void check_prompt(const std::vector<std::int32_t>& tokens, const Architecture& architecture);

/// End tokens that generation_config.json or config.json name (`eos_token_id`, one or a list).
std::vector<std::int32_t> end_tokens(const Checkpoint& checkpoint);

}  // namespace terse
