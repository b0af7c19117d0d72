// Logits of a model, for tests that compare two.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/model/cpu_operations.h"

namespace terse::test {

// Different for every salt.
inline std::vector<std::int32_t> some_tokens(std::int64_t count, std::int64_t vocabulary,
                                             std::int64_t salt = 0) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<std::int32_t>((i * i * 7 + 3 * i + 5 + salt * 11) % vocabulary));
  }
  return ids;
}

// [tokens of all sequences, vocabulary], computed in one pass; caches take `capacity` tokens, or
// those of their sequence.
inline Matrix logits_of(const Model& model, const std::vector<std::vector<std::int32_t>>& sequences,
                        std::int64_t capacity = 0, const CacheOptions& options = {}) {
  std::vector<KeyValueCache> caches;
  caches.reserve(sequences.size());
  Batch batch;
  for (const auto& ids : sequences) {
    caches.emplace_back(model.architecture(),
                        capacity > 0 ? capacity : static_cast<std::int64_t>(ids.size()), false,
                        options);
    batch.add(caches.back(), ids);
  }
  CpuOperations operations(model, batch);
  return Forward(model.architecture(), operations).logits();
}

}  // namespace terse::test
