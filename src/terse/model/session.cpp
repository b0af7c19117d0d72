#include "terse/model/session.h"

#include <algorithm>

#include "terse/model/cpu_operations.h"
#include "terse/model/rotary.h"

namespace terse {
namespace {

// Prompt tokens computed in one pass: bounds the memory of activations.
constexpr std::size_t kPrefillRows = 512;

// A cache of integers is cut back to whole panels only: the positions of a panel share their
// scales, and none of them can be replaced alone. Floats could be cut anywhere; one rule serves all
// types.
constexpr std::int64_t kReusedTogether = kernels::kCachePanel;

// Dynamic rotary scaling turns positions by how long the sequence may become.
bool same_rotations(const Architecture& a, std::int64_t limit, std::int64_t other) {
  return !a.rotary || rotary_frequencies(a.rope, limit) == rotary_frequencies(a.rope, other);
}

}  // namespace

bool Session::fits(std::int64_t limit) const {
  return cache_ && limit <= cache_->capacity() &&
         same_rotations(model_->architecture(), limit, cache_->capacity());
}

std::int64_t Session::reusable(std::span<const std::int32_t> tokens, std::int64_t limit) const {
  if (!fits(limit) || tokens.empty()) return 0;
  const auto common = std::ranges::mismatch(tokens_, tokens).in1 - tokens_.begin();
  const std::int64_t kept = std::min({static_cast<std::int64_t>(common), cache_->length(),
                                      static_cast<std::int64_t>(tokens.size()) - 1});
  return kept / kReusedTogether * kReusedTogether;
}

void Session::make_room(std::int64_t limit, std::int64_t room) {
  const Architecture& a = model_->architecture();
  cache_.reset();  // before the next one is there: memory for one is enough
  room = std::max(limit, room);
  cache_.emplace(a, same_rotations(a, limit, room) ? room : limit, true, cache_options_);
}

void Session::begin(std::vector<std::int32_t> tokens, std::int64_t limit, std::int64_t room) {
  const std::int64_t kept = reusable(tokens, limit);
  if (!fits(limit)) make_room(limit, room);
  cache_->set_length(kept);
  tokens_ = std::move(tokens);
  const std::span<const std::int32_t> all(tokens_);
  for (auto at = static_cast<std::size_t>(kept); at + 1 < all.size();) {
    const std::size_t rows = std::min(kPrefillRows, all.size() - 1 - at);
    Batch batch;
    batch.add(*cache_, all.subspan(at, rows));
    CpuOperations operations(*model_, batch);
    Forward(model_->architecture(), operations).hidden();
    batch.commit();
    at += rows;
  }
}

Matrix next_logits(std::span<Session* const> sessions) {
  const Model& model = sessions.front()->model();
  Batch batch;
  for (Session* session : sessions) {
    batch.add(*session->cache_, std::span(session->tokens_).last(1));
  }
  CpuOperations operations(model, batch);
  Matrix logits = Forward(model.architecture(), operations).logits();
  batch.commit();
  return logits;
}

}  // namespace terse
