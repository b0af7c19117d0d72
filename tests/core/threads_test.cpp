#include "terse/core/threads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "terse/core/error.h"

namespace terse {
namespace {

// Runs `body` with every number of threads that the project promises the same bytes for.
template <class Body>
void with_every_thread_count(const Body& body) {
  const int before = thread_count();
  for (const int threads : {1, 2, 3, 5}) {
    set_thread_count(threads);
    EXPECT_EQ(thread_count(), threads);
    body();
  }
  set_thread_count(before);
}

TEST(ParallelFor, CallsEveryIndexOnce) {
  with_every_thread_count([] {
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
      parallel_for(count, [&](std::int64_t i) { ++calls[static_cast<std::size_t>(i)]; });
      for (const auto& value : calls) EXPECT_EQ(value, 1);
    }
  });
}

TEST(ParallelFor, TilesGiveTheSameBits) {
  std::vector<float> expected;
  with_every_thread_count([&] {
    std::vector<float> sums(97);
    parallel_for(97, [&](std::int64_t tile) {
      float sum = 0;
      for (int i = 1; i < 1000; ++i) sum += 1.0F / static_cast<float>(i * (tile + 1));
      sums[static_cast<std::size_t>(tile)] = sum;
    });
    if (expected.empty()) expected = sums;
    EXPECT_EQ(sums, expected);
  });
}

TEST(ParallelFor, TilesCoverEverythingOnce) {
  with_every_thread_count([] {
    for (const std::int64_t total : {0, 1, 63, 64, 65, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(total));
      parallel_tiles(total, 64, [&](std::int64_t first, std::int64_t count) {
        EXPECT_EQ(first % 64, 0);
        EXPECT_EQ(count, std::min<std::int64_t>(64, total - first));
        for (std::int64_t i = first; i < first + count; ++i) ++calls[static_cast<std::size_t>(i)];
      });
      for (const auto& value : calls) EXPECT_EQ(value, 1);
    }
  });
}

TEST(ParallelFor, SumsAreAddedInTheOrderOfTheirTiles) {
  with_every_thread_count([] {
    EXPECT_EQ(parallel_sum(0, 10, [](std::int64_t, std::int64_t) { return 1.0; }), 0.0);
    double expected = 0;
    for (std::int64_t first = 0; first < 1000; first += 7) {
      expected += 1.0 / static_cast<double>(first + 3) *
                  static_cast<double>(std::min<std::int64_t>(7, 1000 - first));
    }
    EXPECT_EQ(parallel_sum(1000, 7,
                           [](std::int64_t first, std::int64_t count) {
                             return 1.0 / static_cast<double>(first + 3) *
                                    static_cast<double>(count);
                           }),
              expected);
  });
}

TEST(ParallelFor, ThrowsTheErrorOfTheLowestIndexAndFinishesTheRest) {
  with_every_thread_count([] {
    std::atomic<int> calls = 0;
    try {
      parallel_for(100, [&](std::int64_t i) {
        ++calls;
        if (i % 10 == 3) throw failure("tile {}", i);
      });
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "tile 3");
    }
    EXPECT_EQ(calls, 100);
    EXPECT_THROW(parallel_for(1, [](std::int64_t) { throw std::runtime_error("x"); }),
                 std::runtime_error);
  });
}

TEST(ParallelFor, NestedLoopsRunAndThrow) {
  with_every_thread_count([] {
    std::vector<std::atomic<int>> calls(8 * 9);
    parallel_for(8, [&](std::int64_t i) {
      parallel_for(9, [&](std::int64_t j) { ++calls[static_cast<std::size_t>(i * 9 + j)]; });
    });
    for (const auto& value : calls) EXPECT_EQ(value, 1);
    EXPECT_THROW(
        parallel_for(
            2, [](std::int64_t) { parallel_for(2, [](std::int64_t) { throw failure("inner"); }); }),
        Error);
  });
}

TEST(ParallelFor, FlushesDenormals) {
  with_every_thread_count([] {
    volatile float smallest = std::numeric_limits<float>::min();
    std::vector<float> halves(50, 1.0F);
    parallel_for(50,
                 [&](std::int64_t i) { halves[static_cast<std::size_t>(i)] = smallest * 0.5F; });
    EXPECT_EQ(halves, std::vector<float>(50, 0.0F));
  });
}

TEST(Blas, IsTheOpenMpBuild) {
  EXPECT_NO_THROW(check_blas());
}

}  // namespace
}  // namespace terse
