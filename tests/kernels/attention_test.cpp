#include "terse/kernels/attention.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "kernels/kernel_test.h"

namespace terse::kernels {
namespace {

using Floats = std::vector<float>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Keys and values of `positions`, packed; what lies beyond them is NaN.
class Cache {
 public:
  Cache(std::int64_t positions, std::int64_t head_dim, unsigned seed)
      : positions_(positions),
        head_dim_(head_dim),
        keys_(random_floats(positions * head_dim, seed)),
        values_(random_floats(positions * head_dim, seed + 1)),
        packed_(static_cast<std::size_t>((positions + 31) / 32 * 32 * head_dim), kNan) {
    for (std::int64_t p = 0; p < positions; ++p) set_key(p);
  }

  /// Makes position `p` unusable: NaN in key and value.
  void spoil(std::int64_t p) {
    std::fill_n(keys_.begin() + p * head_dim_, head_dim_, kNan);
    std::fill_n(values_.begin() + p * head_dim_, head_dim_, kNan);
    set_key(p);
  }

  HeadCache head() const { return {packed_.data(), values_.data()}; }
  std::int64_t positions() const { return positions_; }
  std::int64_t head_dim() const { return head_dim_; }
  const float* key(std::int64_t p) const { return &keys_[p * head_dim_]; }
  const float* value(std::int64_t p) const { return &values_[p * head_dim_]; }

 private:
  void set_key(std::int64_t p) {
    for (std::int64_t i = 0; i < head_dim_; ++i) {
      packed_[((p / 32) * head_dim_ + i) * 32 + p % 32] = keys_[p * head_dim_ + i];
    }
  }

  std::int64_t positions_;
  std::int64_t head_dim_;
  Floats keys_;
  Floats values_;
  Floats packed_;
};

Floats attention(const Cache& cache, const float* q, std::int64_t rows, std::int64_t position,
                 std::int64_t window) {
  Floats scratch(static_cast<std::size_t>(attention_scratch(position + rows)), kNan);
  Floats out(static_cast<std::size_t>(rows * cache.head_dim()), kNan);
  const float scale = 1 / std::sqrt(static_cast<float>(cache.head_dim()));
  attend(q, cache.head_dim(), rows, position, cache.head(), cache.head_dim(), scale, window,
         scratch.data(), out.data(), cache.head_dim());
  return out;
}

std::vector<double> reference_row(const Cache& cache, const float* q, std::int64_t last,
                                  std::int64_t window) {
  const std::int64_t first = window > 0 ? std::max<std::int64_t>(0, last - window + 1) : 0;
  const std::int64_t size = cache.head_dim();
  std::vector<double> weights;
  double sum = 0;
  for (std::int64_t p = first; p <= last; ++p) {
    double score = 0;
    for (std::int64_t i = 0; i < size; ++i) score += double{q[i]} * cache.key(p)[i];
    weights.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
    sum += weights.back();
  }
  std::vector<double> out(static_cast<std::size_t>(size));
  for (std::int64_t p = first; p <= last; ++p) {
    for (std::int64_t i = 0; i < size; ++i) {
      out[i] += weights[p - first] / sum * cache.value(p)[i];
    }
  }
  return out;
}

class AttentionTest : public KernelTest {};

INSTANTIATE_TEST_SUITE_P(Sets, AttentionTest, testing::ValuesIn(available_instruction_sets()),
                         set_name);

TEST_P(AttentionTest, AgreesWithDoublePrecision) {
  for (const std::int64_t head_dim : {1, 8, 20, 64, 80, 128, 300}) {
    const Cache cache(150, head_dim, 1);
    const Floats q = random_floats(kAttentionRows * head_dim, 3);
    for (const std::int64_t rows : {1, 2, 7, 13, 16}) {
      for (const std::int64_t position : {0, 1, 17, 31, 32, 60, 150 - 16}) {
        for (const std::int64_t window : {0, 1, 5, 40, 1000}) {
          const Floats out = attention(cache, q.data(), rows, position, window);
          for (std::int64_t r = 0; r < rows; ++r) {
            const auto want = reference_row(cache, &q[r * head_dim], position + r, window);
            for (std::int64_t i = 0; i < head_dim; ++i) {
              ASSERT_NEAR(out[r * head_dim + i], want[i], 3e-6)
                  << head_dim << " " << rows << " " << position << " " << window << " " << r;
            }
          }
        }
      }
    }
  }
}

TEST_P(AttentionTest, ARowIsTheSameAloneAndInAnyTile) {
  constexpr std::int64_t kRows = 100;
  for (const std::int64_t head_dim : {20, 64, 80}) {
    const Cache cache(kRows, head_dim, 4);
    const Floats q = random_floats(kRows * head_dim, 5);
    for (const std::int64_t window : {0, 3, 20, 50}) {
      Floats alone;
      for (std::int64_t r = 0; r < kRows; ++r) {
        const Floats row = attention(cache, &q[r * head_dim], 1, r, window);
        alone.insert(alone.end(), row.begin(), row.end());
      }
      for (const std::int64_t tile : {2, 7, 12, 16}) {
        for (std::int64_t r = 0; r < kRows; r += tile) {
          const std::int64_t rows = std::min(tile, kRows - r);
          const Floats out = attention(cache, &q[r * head_dim], rows, r, window);
          ASSERT_TRUE(same_bits(out.data(), &alone[r * head_dim], rows * head_dim))
              << head_dim << " " << window << " " << tile << " " << r;
        }
      }
    }
  }
}

TEST_P(AttentionTest, PositionsOutsideARowNeverReachIt) {
  constexpr std::int64_t kHead = 40;
  constexpr std::int64_t kPosition = 45;
  constexpr std::int64_t kWindow = 6;
  Cache cache(70, kHead, 6);
  const Floats q = random_floats(10 * kHead, 7);
  const Floats clean = attention(cache, q.data(), 10, kPosition, kWindow);
  // Row r sees kPosition + r - 5 ... kPosition + r. Position 44 is seen by rows 0 to 4.
  cache.spoil(44);
  cache.spoil(10);
  cache.spoil(60);
  const Floats spoiled = attention(cache, q.data(), 10, kPosition, kWindow);
  for (std::int64_t r = 0; r < 10; ++r) {
    if (r <= 4) {
      for (std::int64_t i = 0; i < kHead; ++i) EXPECT_TRUE(std::isnan(spoiled[r * kHead + i]));
    } else {
      EXPECT_TRUE(same_bits(&clean[r * kHead], &spoiled[r * kHead], kHead)) << r;
    }
  }
}

TEST_P(AttentionTest, StridesLeaveTheGapsAlone) {
  constexpr std::int64_t kHead = 20;
  const Cache cache(20, kHead, 8);
  const Floats q = random_floats(16 * 50, 9);
  Floats scratch(static_cast<std::size_t>(attention_scratch(20)));
  Floats out(16 * 30, -7.0F);
  attend(q.data(), 50, 16, 2, cache.head(), kHead, 0.3F, 0, scratch.data(), out.data(), 30);
  for (std::int64_t r = 0; r < 16; ++r) {
    Floats row(kHead);
    attend(&q[r * 50], 50, 1, 2 + r, cache.head(), kHead, 0.3F, 0, scratch.data(), row.data(),
           kHead);
    EXPECT_TRUE(same_bits(row.data(), &out[r * 30], kHead)) << r;
    for (std::int64_t i = kHead; i < 30; ++i) EXPECT_EQ(out[r * 30 + i], -7.0F);
  }
}

TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
  constexpr std::int64_t kHead = 8;
  const Cache cache(40, kHead, 10);
  const Floats q = random_floats(kHead, 11, 1000.0F);
  const Floats out = attention(cache, q.data(), 1, 39, 0);
  for (const float value : out) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace terse::kernels
