// Token windows that models are scored on, and their logits.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "terse/model/key_value_cache.h"
#include "terse/model/model.h"

namespace terse {

/// Part of a text that is computed at once: tokens [begin, end) of which the losses of the tokens
/// from `score_from` on count.
struct Window {
  std::int64_t begin;
  std::int64_t end;
  std::int64_t score_from;
};

/// A text as tokens, cut in windows.
struct Windows {
  std::vector<std::int32_t> ids;
  std::vector<Window> windows;

  /// Tokens to compute: the lengths of all windows.
  std::int64_t rows() const;

  std::span<const std::int32_t> tokens(const Window& window) const {
    return std::span(ids).subspan(static_cast<std::size_t>(window.begin),
                                  static_cast<std::size_t>(window.end - window.begin));
  }
};

/// The protocol of GPTQ, SparseGPT and Wanda: whole windows of `size` one after another, the rest
/// dropped, every token but the first of each window scored. With `stride` (transformers' guide to
/// perplexity): a window every `stride` tokens, each token scored once with as much context as its
/// window gives (a window's first token, which has none, only by the window before). Errors:
/// bad_input when there are fewer tokens than one window.
Windows cut_windows(std::vector<std::int32_t> ids, std::int64_t size, std::int64_t stride = 0);

/// Keeps `count` of the windows, spread evenly over the text; all of them where there are no more.
void keep_spread(Windows& windows, std::int64_t count);

/// Consecutive windows of one pass: their hidden states after the last norm.
struct HiddenStates {
  Matrix rows;                          ///< [sum of the windows' lengths, hidden_size]
  std::vector<std::int64_t> first_row;  ///< By window of the group.
};

/// Groups windows so that one pass has a few thousand rows at most; each group is [first, last).
std::vector<std::pair<std::size_t, std::size_t>> group_windows(const Windows& windows);

/// Computes windows [first, last), each as a sequence of its own.
HiddenStates hidden_states(const Model& model, const Windows& windows, std::size_t first,
                           std::size_t last, const CacheOptions& cache = {});

/// Rows whose logits are computed at a time: bounds memory for large vocabularies.
inline constexpr std::int64_t kLogitRows = 128;

/// A stretch of scored positions of one window: row r of the group's hidden states predicts
/// targets[r - first_row].
struct ScoredRows {
  std::size_t window;
  std::int64_t first_row;
  std::span<const std::int32_t> targets;
};

/// The scored positions of windows [first, last), in stretches of at most kLogitRows.
std::vector<ScoredRows> scored_rows(const Windows& windows, const HiddenStates& states,
                                    std::size_t first, std::size_t last);

/// Logits [count, vocab_size] of consecutive rows of hidden states.
Matrix logits_of(const Model& model, const Matrix& hidden, std::int64_t first_row,
                 std::int64_t count);

}  // namespace terse
