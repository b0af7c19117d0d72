// A sequence whose keys and values are kept, so that what follows it need not compute it again.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "terse/model/key_value_cache.h"
#include "terse/model/model.h"

namespace terse {

/// Tokens and the keys and values of the first of them.
class Session {
 public:
  /// The model must be loaded and outlive the session.
  explicit Session(const Model& model, const CacheOptions& cache = {})
      : model_(&model), cache_options_(cache) {}

  /// Makes `tokens` the sequence, which may grow to `limit` tokens: keeps what is `reusable`,
  /// computes the rest but for the last token, which the first step computes. A cache that must be
  /// made anew gets room for `room` tokens, or for `limit` where that is more. The same bits as in
  /// a new session. Errors: as CpuOperations.
  void begin(std::vector<std::int32_t> tokens, std::int64_t limit, std::int64_t room = 0);

  /// Appends the next token, which the next step computes.
  void push(std::int32_t token) { tokens_.push_back(token); }
  const std::vector<std::int32_t>& tokens() const { return tokens_; }

  const Model& model() const { return *model_; }

  /// How many positions `begin` would not compute again.
  std::int64_t reusable(std::span<const std::int32_t> tokens, std::int64_t limit) const;

 private:
  friend Matrix next_logits(std::span<Session* const> sessions);

  bool fits(std::int64_t limit) const;
  void make_room(std::int64_t limit, std::int64_t room);

  const Model* model_;
  CacheOptions cache_options_;
  std::vector<std::int32_t> tokens_;
  std::optional<KeyValueCache> cache_;
};

/// One step of one or more sessions of the same model that have begun: computes their last tokens;
/// logits [sessions, vocab_size].
Matrix next_logits(std::span<Session* const> sessions);

}  // namespace terse
