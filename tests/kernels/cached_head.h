// Keys and values of one head in panels of a type, and what they say, read straight from the layout
// that cache_panel.h describes.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/kernel_test.h"
#include "terse/core/dtype.h"
#include "terse/kernels/aligned.h"
#include "terse/kernels/attention.h"

namespace terse::kernels {

inline constexpr std::array kCacheTypes{CacheType::f32, CacheType::f16, CacheType::bits8,
                                        CacheType::bits4, CacheType::bits2};

inline int bits_of(CacheType type) {
  constexpr std::array kBits{32, 16, 8, 4, 2};
  return kBits.at(static_cast<std::size_t>(type));
}

inline std::string name_of(CacheType type) {
  return std::to_string(bits_of(type)) + " bits";
}

template <class T>
T number_at(const std::byte* from, std::int64_t index) {
  T value;
  std::memcpy(&value, from + index * static_cast<std::int64_t>(sizeof value), sizeof value);
  return value;
}

/// Element of a matrix [rows, columns] of a panel in groups of columns.
inline float panel_number(CacheType type, const std::byte* matrix, std::int64_t rows,
                          std::int64_t columns, std::int64_t group, std::int64_t row,
                          std::int64_t column) {
  if (type == CacheType::f32) return number_at<float>(matrix, row * columns + column);
  if (type == CacheType::f16) {
    return f16_to_float(number_at<std::uint16_t>(matrix, row * columns + column));
  }
  const int bits = bits_of(type);
  const std::int64_t grids = rows * (columns / group);
  const std::int64_t grid = column / group * rows + row;
  const float scale = f16_to_float(number_at<std::uint16_t>(matrix, grid));
  const float low = f16_to_float(number_at<std::uint16_t>(matrix, grids + grid));
  const std::int64_t together = 8 / bits;
  const auto codes = number_at<std::uint8_t>(matrix + 4 * grids, row / together * columns + column);
  const int code = codes >> (row % together * bits) & ((1 << bits) - 1);
  return low + scale * static_cast<float>(code);
}

inline float panel_key(const CachePanelFormat& format, const std::byte* panel, std::int64_t channel,
                       std::int64_t slot) {
  return panel_number(format.type, panel, format.width, kCachePanel, kCachePanel, channel, slot);
}

inline float panel_value(const CachePanelFormat& format, const std::byte* panel,
                         std::int64_t channel, std::int64_t slot) {
  return panel_number(format.type, panel + format.values_at, kCachePanel, format.width,
                      format.group, slot, channel);
}

/// A head of `positions`; of types of integers every panel in float16 too. What lies beyond the
/// positions is NaN.
class CachedHead {
 public:
  CachedHead(CacheType type, std::int64_t positions, std::int64_t head_dim, unsigned seed)
      : positions_(positions),
        format_(cache_panel_format(type, head_dim)),
        own_format_(
            cache_panel_format(type == CacheType::f32 ? CacheType::f32 : CacheType::f16, head_dim)),
        keys_(random_floats(positions * head_dim, seed)),
        values_(random_floats(positions * head_dim, seed + 1)) {
    const std::int64_t panels = (positions + kCachePanel - 1) / kCachePanel;
    own_.assign(static_cast<std::size_t>(panels * own_format_.bytes), std::byte{0xff});
    held_.resize(static_cast<std::size_t>(panels * format_.bytes));
    for (std::int64_t p = 0; p < positions; ++p) store(p);
    for (std::int64_t p = 0; p < panels; ++p) {
      hold(p);
      places_.push_back(held(p));
    }
  }

  /// Makes position `p` unusable: NaN in key and value.
  void spoil(std::int64_t p) {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    std::fill_n(keys_.begin() + p * head_dim(), head_dim(), kNan);
    std::fill_n(values_.begin() + p * head_dim(), head_dim(), kNan);
    store(p);
    hold(p / kCachePanel);
  }

  HeadCache seen_from(std::int64_t position) const {
    return {&format_, places_.data(), 0, &own_format_, own(position / kCachePanel)};
  }

  std::int64_t positions() const { return positions_; }
  std::int64_t head_dim() const { return format_.head_dim; }

  /// As the row of position `reader` sees position `p`.
  float key(std::int64_t reader, std::int64_t p, std::int64_t i) const {
    const std::int64_t panel = p / kCachePanel;
    return panel == reader / kCachePanel ? panel_key(own_format_, own(panel), i, p % kCachePanel)
                                         : panel_key(format_, held(panel), i, p % kCachePanel);
  }
  float value(std::int64_t reader, std::int64_t p, std::int64_t i) const {
    const std::int64_t panel = p / kCachePanel;
    return panel == reader / kCachePanel ? panel_value(own_format_, own(panel), i, p % kCachePanel)
                                         : panel_value(format_, held(panel), i, p % kCachePanel);
  }

 private:
  const std::byte* own(std::int64_t panel) const { return &own_[panel * own_format_.bytes]; }
  const std::byte* held(std::int64_t panel) const { return &held_[panel * format_.bytes]; }

  void store(std::int64_t p) {
    store_in_panel(own_format_, p % kCachePanel, &keys_[p * head_dim()], &values_[p * head_dim()],
                   &own_[p / kCachePanel * own_format_.bytes]);
  }

  void hold(std::int64_t panel) {
    if (format_.type == own_format_.type) {
      std::copy_n(own(panel), format_.bytes, &held_[panel * format_.bytes]);
    } else {
      quantize_panel(format_, own(panel), &held_[panel * format_.bytes]);
    }
  }

  std::int64_t positions_;
  CachePanelFormat format_;
  CachePanelFormat own_format_;
  std::vector<float> keys_;
  std::vector<float> values_;
  AlignedVector<std::byte> own_;
  AlignedVector<std::byte> held_;
  std::vector<const std::byte*> places_;
};

}  // namespace terse::kernels
