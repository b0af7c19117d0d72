#include "terse/kernels/cache_panel.h"

#include <limits>

#include "kernels/cached_head.h"

namespace terse::kernels {
namespace {

using Floats = std::vector<float>;

/// Keys and values [32, head_dim] in a panel of a type.
class Panel {
 public:
  Panel(CacheType type, std::int64_t head_dim, const Floats& keys, const Floats& values)
      : format_(cache_panel_format(type, head_dim)), bytes_(format_.bytes) {
    const bool integers = bits_of(type) <= 8;
    const CachePanelFormat from = integers ? cache_panel_format(CacheType::f16, head_dim) : format_;
    AlignedVector<std::byte> floats(static_cast<std::size_t>(from.bytes));
    for (std::int64_t p = 0; p < kCachePanel; ++p) {
      store_in_panel(from, p, &keys[p * head_dim], &values[p * head_dim], floats.data());
    }
    if (integers) {
      quantize_panel(format_, floats.data(), bytes_.data());
    } else {
      bytes_ = floats;
    }
  }

  float key(std::int64_t p, std::int64_t i) const {
    return panel_key(format_, bytes_.data(), i, p);
  }
  float value(std::int64_t p, std::int64_t i) const {
    return panel_value(format_, bytes_.data(), i, p);
  }

 private:
  CachePanelFormat format_;
  AlignedVector<std::byte> bytes_;
};

/// Largest error in units of the range of the group, by type: half a step, and what rounding scale
/// and least value to float16 adds (2^-11 of each).
double tolerance(CacheType type) {
  switch (type) {
    case CacheType::bits8:
      return 0.5 / 255 + 1.5e-3;
    case CacheType::bits4:
      return 0.5 / 15 + 1.5e-3;
    case CacheType::bits2:
      return 0.5 / 3 + 1.5e-3;
    default:
      return 0;
  }
}

struct Span {
  float least = std::numeric_limits<float>::infinity();
  float largest = -std::numeric_limits<float>::infinity();
  void add(float value) {
    least = std::min(least, value);
    largest = std::max(largest, value);
  }
  double range() const { return double{largest} - least; }
};

TEST(CachePanels, HoldFloatsAsTheyAreAndToElevenBits) {
  for (const std::int64_t size : {5, 64}) {
    const Floats keys = random_floats(32 * size, 1);
    const Floats values = random_floats(32 * size, 2);
    const Panel exact(CacheType::f32, size, keys, values);
    const Panel half(CacheType::f16, size, keys, values);
    for (std::int64_t p = 0; p < 32; ++p) {
      for (std::int64_t i = 0; i < size; ++i) {
        EXPECT_EQ(exact.key(p, i), keys[p * size + i]);
        EXPECT_EQ(exact.value(p, i), values[p * size + i]);
        EXPECT_EQ(half.key(p, i), f16_to_float(float_to_f16(keys[p * size + i])));
        EXPECT_EQ(half.value(p, i), f16_to_float(float_to_f16(values[p * size + i])));
      }
    }
  }
}

// Channels of very different size: one grid for several would lose the small ones.
TEST(CachePanels, HaveAGridForEachChannelOfKeys) {
  for (const CacheType type : {CacheType::bits8, CacheType::bits4, CacheType::bits2}) {
    for (const std::int64_t size : {5, 64, 80}) {
      Floats keys = random_floats(32 * size, 3);
      for (std::int64_t j = 0; j < 32 * size; ++j) {
        keys[j] = (keys[j] + 3.0F) * std::pow(10.0F, static_cast<float>(j % size % 5 - 2));
      }
      const Panel panel(type, size, keys, Floats(32 * size));
      for (std::int64_t i = 0; i < size; ++i) {
        Span span;
        for (std::int64_t p = 0; p < 32; ++p) span.add(keys[p * size + i]);
        for (std::int64_t p = 0; p < 32; ++p) {
          EXPECT_NEAR(panel.key(p, i), keys[p * size + i],
                      tolerance(type) * span.range() + 5e-4 * std::abs(span.least))
              << name_of(type) << " channel " << i;
        }
      }
    }
  }
}

TEST(CachePanels, HaveAGridForEachPositionAndGroupOfValues) {
  const auto group_of = [](std::int64_t size) { return size % 64 == 0 ? 64 : size; };
  for (const CacheType type : {CacheType::bits8, CacheType::bits4, CacheType::bits2}) {
    for (const std::int64_t size : {5, 64, 80, 128}) {
      Floats values = random_floats(32 * size, 4);
      for (std::int64_t j = 0; j < 32 * size; ++j) {
        values[j] *= std::pow(10.0F, static_cast<float>((j / size + j % size / 64) % 5 - 2));
      }
      const Panel panel(type, size, Floats(32 * size), values);
      for (std::int64_t begin = 0; begin < 32 * size; begin += group_of(size)) {
        Span span;
        for (std::int64_t j = begin; j < begin + group_of(size); ++j) span.add(values[j]);
        for (std::int64_t j = begin; j < begin + group_of(size); ++j) {
          EXPECT_NEAR(panel.value(j / size, j % size), values[j],
                      tolerance(type) * span.range() + 5e-4 * std::abs(span.least))
              << name_of(type) << " position " << j / size << " channel " << j % size;
        }
      }
    }
  }
}

TEST(CachePanels, KeepGroupsOfOneValueAndWhatIsOnTheGrid) {
  Floats keys(32 * 16, 1.5F);
  for (std::int64_t p = 0; p < 32; ++p) keys[p * 16] = static_cast<float>(p % 4) - 1;
  for (const CacheType type : {CacheType::bits8, CacheType::bits4, CacheType::bits2}) {
    const Panel panel(type, 16, keys, Floats(32 * 16, -0.25F));
    for (std::int64_t p = 0; p < 32; ++p) {
      EXPECT_EQ(panel.key(p, 3), 1.5F);
      EXPECT_EQ(panel.value(p, 3), -0.25F);
    }
  }
  const Panel panel(CacheType::bits2, 16, keys, Floats(32 * 16));
  for (std::int64_t p = 0; p < 32; ++p) EXPECT_EQ(panel.key(p, 0), keys[p * 16]);
}

TEST(CachePanels, StayFiniteBeyondFloat16) {
  Floats keys(32 * 16, 1e6F);
  for (std::int64_t j = 0; j < 16; ++j) keys[j] = -1e6F;
  for (const CacheType type : {CacheType::f16, CacheType::bits8, CacheType::bits4}) {
    const Panel panel(type, 16, keys, keys);
    EXPECT_NEAR(panel.key(0, 2), -65504.0F, 64.0F);
    EXPECT_NEAR(panel.key(1, 2), 65504.0F, 64.0F);
  }
}

// Of float16, at 4 bits: 5/16 for keys (a grid of 32 bits for 32 numbers), 4.5/16 for values.
TEST(CachePanels, TakeTheBitsOfTheirCodesAndGrids) {
  const auto bytes = [](CacheType type, std::int64_t size) {
    return cache_panel_format(type, size).bytes;
  };
  EXPECT_EQ(bytes(CacheType::f32, 64), 2 * 32 * 64 * 4);
  EXPECT_EQ(bytes(CacheType::f16, 64), 2 * 32 * 64 * 2);
  EXPECT_EQ(bytes(CacheType::bits8, 64) * 8, 32 * 64 * 9 + 32 * 64 * 17 / 2);
  EXPECT_EQ(bytes(CacheType::bits4, 64) * 8, 32 * 64 * 5 + 32 * 64 * 9 / 2);
  EXPECT_EQ(bytes(CacheType::bits2, 64) * 8, 32 * 64 * 3 + 32 * 64 * 5 / 2);
  EXPECT_EQ(bytes(CacheType::bits4, 128), 2 * bytes(CacheType::bits4, 64));
}

}  // namespace
}  // namespace terse::kernels
