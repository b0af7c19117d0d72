#include "terse/kernels/attention.h"

#include <algorithm>
#include <limits>

#include "kernels/cached_head.h"

namespace terse::kernels {
namespace {

using Floats = std::vector<float>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

float scale_of(const CachedHead& head) {
  return 1 / std::sqrt(static_cast<float>(head.head_dim()));
}

/// Rows whose positions may lie in several panels, in calls of at most `tile` rows.
Floats attention(const CachedHead& head, const float* q, std::int64_t rows, std::int64_t heads,
                 std::int64_t position, std::int64_t window, std::int64_t tile = kCachePanel) {
  const std::int64_t stride = heads * head.head_dim();
  Floats out(static_cast<std::size_t>(rows * stride), kNan);
  for (std::int64_t r = 0; r < rows;) {
    const std::int64_t at = position + r;
    const std::int64_t count = std::min({tile, rows - r, kCachePanel - at % kCachePanel});
    attend({.q = q + r * stride,
            .q_stride = stride,
            .rows = count,
            .heads = heads,
            .position = at,
            .cache = head.seen_from(at),
            .scale = scale_of(head),
            .window = window,
            .out = &out[r * stride],
            .out_stride = stride});
    r += count;
  }
  return out;
}

/// Softmax of all scores at once, in double precision.
std::vector<double> reference_row(const CachedHead& head, const float* q, std::int64_t last,
                                  std::int64_t window) {
  const std::int64_t first = window > 0 ? std::max<std::int64_t>(0, last - window + 1) : 0;
  const std::int64_t size = head.head_dim();
  std::vector<double> weights;
  double sum = 0;
  for (std::int64_t p = first; p <= last; ++p) {
    double score = 0;
    for (std::int64_t i = 0; i < size; ++i) score += double{q[i]} * head.key(last, p, i);
    weights.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
    sum += weights.back();
  }
  std::vector<double> out(static_cast<std::size_t>(size));
  for (std::int64_t p = first; p <= last; ++p) {
    for (std::int64_t i = 0; i < size; ++i) {
      out[i] += weights[p - first] / sum * head.value(last, p, i);
    }
  }
  return out;
}

class AttentionTest : public KernelTest {
 protected:
  static void expect_agreement(CacheType type, std::int64_t head_dim, std::int64_t heads) {
    const CachedHead head(type, 150, head_dim, 1);
    const Floats q = random_floats(40 * heads * head_dim, 3);
    for (const std::int64_t rows : {1, 7, 40}) {
      for (const std::int64_t position : {0, 31, 33, 150 - 40}) {
        for (const std::int64_t window : {0, 1, 40, 1000}) {
          const Floats out =
              attention(head, q.data(), rows, heads, position, window, kAttentionQueries / heads);
          for (std::int64_t t = 0; t < rows * heads; ++t) {
            const auto want = reference_row(head, &q[t * head_dim], position + t / heads, window);
            for (std::int64_t i = 0; i < head_dim; ++i) {
              ASSERT_NEAR(out[t * head_dim + i], want[i], 3e-6)
                  << name_of(type) << ", " << head_dim << " channels, " << heads << " heads, "
                  << rows << " rows from " << position << ", window " << window << ", query " << t;
            }
          }
        }
      }
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Sets, AttentionTest, testing::ValuesIn(available_instruction_sets()),
                         set_name);

TEST_P(AttentionTest, AgreesWithDoublePrecision) {
  for (const CacheType type : kCacheTypes) {
    for (const std::int64_t head_dim : {1, 20, 64, 80, 128}) expect_agreement(type, head_dim, 1);
  }
}

TEST_P(AttentionTest, OfGroupedHeadsAgreesWithDoublePrecision) {
  for (const CacheType type : kCacheTypes) {
    expect_agreement(type, 20, 3);
    expect_agreement(type, 64, 8);
  }
  expect_agreement(CacheType::f16, 300, 2);
}

TEST_P(AttentionTest, MoreHeadsThanACallOfManyRowsMayHoldGoRowByRow) {
  expect_agreement(CacheType::bits4, 16, 71);
}

TEST_P(AttentionTest, ARowIsTheSameAloneAndInAnyTile) {
  constexpr std::int64_t kRows = 100;
  constexpr std::int64_t kHeads = 3;
  for (const CacheType type : kCacheTypes) {
    for (const std::int64_t head_dim : {20, 64}) {
      const std::int64_t size = kHeads * head_dim;
      const CachedHead head(type, kRows, head_dim, 4);
      const Floats q = random_floats(kRows * size, 5);
      for (const std::int64_t window : {0, 3, 50}) {
        const Floats alone = attention(head, q.data(), kRows, kHeads, 0, window, 1);
        for (const std::int64_t tile : {2, 7, 12, 32}) {
          const Floats out = attention(head, q.data(), kRows, kHeads, 0, window, tile);
          ASSERT_TRUE(same_bits(out.data(), alone.data(), kRows * size))
              << name_of(type) << " " << head_dim << " " << window << " " << tile;
        }
      }
    }
  }
}

TEST_P(AttentionTest, AHeadIsTheSameAloneAndBesideOthers) {
  constexpr std::int64_t kHeads = 8;
  constexpr std::int64_t kHead = 64;
  const CachedHead head(CacheType::f16, 70, kHead, 12);
  const Floats q = random_floats(kHeads * kHead, 13);
  const Floats together = attention(head, q.data(), 1, kHeads, 69, 0);
  for (std::int64_t h = 0; h < kHeads; ++h) {
    const Floats alone = attention(head, &q[h * kHead], 1, 1, 69, 0);
    EXPECT_TRUE(same_bits(alone.data(), &together[h * kHead], kHead)) << h;
  }
}

TEST_P(AttentionTest, PositionsOutsideARowNeverReachIt) {
  constexpr std::int64_t kHead = 40;
  constexpr std::int64_t kPosition = 45;
  constexpr std::int64_t kWindow = 6;
  for (const CacheType type : {CacheType::f32, CacheType::f16}) {
    CachedHead head(type, 70, kHead, 6);
    const Floats q = random_floats(10 * kHead, 7);
    const Floats clean = attention(head, q.data(), 10, 1, kPosition, kWindow);
    // Row r sees kPosition + r - 5 ... kPosition + r. Position 44 is seen by rows 0 to 4.
    head.spoil(44);
    head.spoil(10);
    head.spoil(60);
    const Floats spoiled = attention(head, q.data(), 10, 1, kPosition, kWindow);
    for (std::int64_t r = 0; r < 10; ++r) {
      if (r <= 4) {
        for (std::int64_t i = 0; i < kHead; ++i) EXPECT_TRUE(std::isnan(spoiled[r * kHead + i]));
      } else {
        EXPECT_TRUE(same_bits(&clean[r * kHead], &spoiled[r * kHead], kHead)) << r;
      }
    }
  }
}

// A grid that spans NaN is NaN, so that damage shows.
TEST_P(AttentionTest, NanShowsThroughIntegers) {
  for (const CacheType type : {CacheType::bits8, CacheType::bits4, CacheType::bits2}) {
    CachedHead head(type, 40, 64, 14);
    head.spoil(3);
    const Floats q = random_floats(64, 15);
    for (const float value : attention(head, q.data(), 1, 1, 35, 0)) {
      EXPECT_TRUE(std::isnan(value));
    }
  }
}

TEST_P(AttentionTest, StridesLeaveTheGapsAlone) {
  constexpr std::int64_t kHead = 20;
  const CachedHead head(CacheType::f32, 20, kHead, 8);
  const Floats q = random_floats(16 * 50, 9);
  Floats out(16 * 30, -7.0F);
  attend({.q = q.data(),
          .q_stride = 50,
          .rows = 16,
          .heads = 1,
          .position = 2,
          .cache = head.seen_from(2),
          .scale = scale_of(head),
          .window = 0,
          .out = out.data(),
          .out_stride = 30});
  for (std::int64_t r = 0; r < 16; ++r) {
    const Floats row = attention(head, &q[r * 50], 1, 1, 2 + r, 0);
    EXPECT_TRUE(same_bits(row.data(), &out[r * 30], kHead)) << r;
    for (std::int64_t i = kHead; i < 30; ++i) EXPECT_EQ(out[r * 30 + i], -7.0F);
  }
}

TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
  constexpr std::int64_t kHead = 8;
  const CachedHead head(CacheType::f32, 40, kHead, 10);
  const Floats q = random_floats(kHead, 11, 1000.0F);
  const Floats out = attention(head, q.data(), 1, 1, 39, 0);
  for (const float value : out) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace terse::kernels
