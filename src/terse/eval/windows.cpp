#include "terse/eval/windows.h"

#include <algorithm>

#include "terse/core/error.h"
#include "terse/model/cpu_operations.h"

namespace terse {
namespace {

constexpr std::int64_t kGroupRows = 2048;

Error too_short(std::size_t tokens, std::int64_t size) {
  return bad_input(
      "the text has {} tokens, fewer than one window of {}; give more text or a smaller --window",
      tokens, size);
}

}  // namespace

std::int64_t Windows::rows() const {
  std::int64_t sum = 0;
  for (const Window& window : windows) sum += window.end - window.begin;
  return sum;
}

Windows cut_windows(std::vector<std::int32_t> ids, std::int64_t size, std::int64_t stride) {
  if (size < 2) throw bad_usage("a window of {} tokens predicts nothing; expected 2 or more", size);
  if (stride < 0 || stride > size)
    throw bad_usage("the stride is {}; expected 1 to the window of {}", stride, size);
  const auto total = static_cast<std::int64_t>(ids.size());
  if (total < size) throw too_short(ids.size(), size);
  Windows result{std::move(ids), {}};
  if (stride == 0) {
    for (std::int64_t at = 0; at + size <= total; at += size)
      result.windows.push_back({at, at + size, at + 1});
    return result;
  }
  std::int64_t scored = 1;
  for (std::int64_t at = 0; scored < total; at += stride) {
    const std::int64_t end = std::min(at + size, total);
    // The first token of a window has nothing before it that could predict it.
    result.windows.push_back({at, end, std::max(scored, at + 1)});
    scored = end;
  }
  return result;
}

void keep_spread(Windows& windows, std::int64_t count) {
  const auto total = static_cast<std::int64_t>(windows.windows.size());
  if (count >= total) return;
  std::vector<Window> kept;
  for (std::int64_t i = 0; i < count; ++i) {
    kept.push_back(windows.windows[static_cast<std::size_t>(i * total / count)]);
  }
  windows.windows = std::move(kept);
}

std::vector<std::pair<std::size_t, std::size_t>> group_windows(const Windows& windows) {
  std::vector<std::pair<std::size_t, std::size_t>> groups;
  std::int64_t rows = 0;
  for (std::size_t i = 0; i < windows.windows.size(); ++i) {
    const std::int64_t length = windows.windows[i].end - windows.windows[i].begin;
    if (groups.empty() || rows + length > kGroupRows) {
      groups.emplace_back(i, i);
      rows = 0;
    }
    rows += length;
    groups.back().second = i + 1;
  }
  return groups;
}

HiddenStates hidden_states(const Model& model, const Windows& windows, std::size_t first,
                           std::size_t last, const CacheOptions& cache) {
  std::vector<KeyValueCache> caches;
  caches.reserve(last - first);
  Batch batch;
  HiddenStates states;
  for (std::size_t i = first; i < last; ++i) {
    const Window& window = windows.windows[i];
    caches.emplace_back(model.architecture(), window.end - window.begin, false, cache);
    states.first_row.push_back(static_cast<std::int64_t>(batch.tokens.size()));
    batch.add(caches.back(), windows.tokens(window));
  }
  CpuOperations operations(model, batch);
  states.rows = Forward(model.architecture(), operations).hidden();
  return states;
}

std::vector<ScoredRows> scored_rows(const Windows& windows, const HiddenStates& states,
                                    std::size_t first, std::size_t last) {
  std::vector<ScoredRows> stretches;
  for (std::size_t i = first; i < last; ++i) {
    const Window& window = windows.windows[i];
    for (std::int64_t at = window.score_from; at < window.end; at += kLogitRows) {
      const std::int64_t count = std::min(kLogitRows, window.end - at);
      // The token at `at` is predicted by the row of the token before it.
      stretches.push_back(
          {i, states.first_row[i - first] + at - 1 - window.begin,
           std::span(windows.ids)
               .subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count))});
    }
  }
  return stretches;
}

Matrix logits_of(const Model& model, const Matrix& hidden, std::int64_t first_row,
                 std::int64_t count) {
  const Batch none;
  return CpuOperations(model, none).head(hidden.middleRows(first_row, count));
}

}  // namespace terse
