// Parallel loops over fixed tiles: the same bytes on any number of threads.
#pragma once

#include <cstdint>
#include <functional>

namespace terse {

/// Threads that parallel loops use. Default: those that OpenMP offers (`OMP_NUM_THREADS`).
int thread_count();
void set_thread_count(int count);

/// Calls `body(i)` for every i in [0, count), in any order, on all threads. The caller cuts work
/// into tiles whose results do not depend on one another; then the number of threads cannot
/// change a bit. Denormals are flushed inside. An exception of one call is thrown again here,
/// the one of the lowest i. Nested calls run on the calling thread, and so does BLAS inside.
void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& body);

/// Calls body(first, count) for the tiles of [0, total): `size` each, but the last. As
/// parallel_for.
void parallel_tiles(std::int64_t total, std::int64_t size,
                    const std::function<void(std::int64_t first, std::int64_t count)>& body);

/// The sum of body(first, count) over the tiles, added up in their order.
double parallel_sum(std::int64_t total, std::int64_t size,
                    const std::function<double(std::int64_t first, std::int64_t count)>& body);

/// Flushes denormal numbers to zero on the calling thread (measured: they make a training step
/// three times slower).
void flush_denormals();

/// Checks once that the BLAS in the process is the OpenMP build: a second threading runtime would
/// fight for the cores. Errors: failed.
void check_blas();

}  // namespace terse
