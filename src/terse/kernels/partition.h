// How work is cut into parts and spread over threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "terse/core/threads.h"

namespace terse::kernels {

/// Pieces of at most `largest` that `count` takes.
inline std::int64_t pieces(std::int64_t count, std::int64_t largest) {
  return (count + largest - 1) / largest;
}

/// Part `index` of [0, count) cut into `parts` of nearly equal size.
struct Part {
  Part(std::int64_t count, std::int64_t parts, std::int64_t index)
      : begin(count * index / parts), end(count * (index + 1) / parts) {}
  std::int64_t size() const { return end - begin; }

  std::int64_t begin;
  std::int64_t end;
};

/// Groups that the panels of a product are cut into, each a task beside each of `bands` of rows: of
/// 8 panels, or fewer where there would not be tasks enough for the threads to end together.
inline std::int64_t panel_groups(std::int64_t panels, std::int64_t bands) {
  constexpr std::int64_t kGroup = 8;
  constexpr std::int64_t kTasks = 8;
  return std::max(pieces(panels, kGroup), std::min(panels, pieces(kTasks, bands)));
}

/// Runs the tasks on all threads, or on this one if there is little to do; either way without
/// denormals, so that the amount of work cannot change a bit.
inline void run_tasks(bool little, std::int64_t count,
                      const std::function<void(std::int64_t)>& task) {
  if (!little) return parallel_for(count, task);
  flush_denormals();
  for (std::int64_t i = 0; i < count; ++i) task(i);
}

}  // namespace terse::kernels
