#include "terse/core/threads.h"

#include <omp.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace terse {

int thread_count() {
  return omp_get_max_threads();
}

void set_thread_count(int count) {
  omp_set_num_threads(count);
}

void flush_denormals() {
#if defined(__SSE2__)
  _mm_setcsr(_mm_getcsr() | 0x8040U);  // flush-to-zero and denormals-are-zero
#elif defined(__aarch64__)
  std::uint64_t control;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(control | (1ULL << 24)));
#endif
}

void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& body) {
  std::exception_ptr error;
  std::int64_t error_index = std::numeric_limits<std::int64_t>::max();
  std::mutex mutex;
  const auto run = [&](std::int64_t i) {
    try {
      body(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (i < error_index) {
        error_index = i;
        error = std::current_exception();
      }
    }
  };
  if (omp_in_parallel() != 0) {
    for (std::int64_t i = 0; i < count; ++i) run(i);
  } else {
    // A parallel region even for one thread or one tile: BLAS called inside stays on its thread,
    // so a tile is computed in the same way whatever the number of threads.
#pragma omp parallel
    {
      flush_denormals();
      // Of this task only: BLAS stays on its thread even where the system gave the region just one.
      omp_set_num_threads(1);
#pragma omp for schedule(dynamic, 1)
      for (std::int64_t i = 0; i < count; ++i) run(i);
    }
  }
  if (error) std::rethrow_exception(error);
}

void parallel_tiles(std::int64_t total, std::int64_t size,
                    const std::function<void(std::int64_t, std::int64_t)>& body) {
  parallel_for((total + size - 1) / size,
               [&](std::int64_t tile) { body(tile * size, std::min(size, total - tile * size)); });
}

double parallel_sum(std::int64_t total, std::int64_t size,
                    const std::function<double(std::int64_t, std::int64_t)>& body) {
  std::vector<double> parts(static_cast<std::size_t>((total + size - 1) / size));
  parallel_tiles(total, size, [&](std::int64_t first, std::int64_t count) {
    parts[static_cast<std::size_t>(first / size)] = body(first, count);
  });
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

}  // namespace terse
