// How keys and values of 32 neighbouring positions of one head lie together. Files compiled for one
// instruction set include this; see kernel_table.h for what that forbids.
#pragma once

#include <cstddef>
#include <cstdint>

namespace terse::kernels {

/// How the numbers of a cache are stored: as they are, rounded to float16, or as integers of so
/// many bits on grids of their own.
enum class CacheType { f32, f16, bits8, bits4, bits2 };

/// Positions of a panel.
inline constexpr std::int64_t kCachePanel = 32;

/// A panel is a matrix of keys [width, 32], a row for each channel, and after it one of values [32,
/// width], a row for each position, so that scores and outputs are both products with its rows;
/// `width` is head_dim with channels that are never read behind it.
///
/// Integers: rows are cut in groups of columns that share a grid, value ~ low + scale * code with
/// the least value as `low` (KIVI, Liu et al., arXiv 2402.02750, section 3.3: keys per channel,
/// values per token). A matrix is then scales [groups, rows] and lows [groups, rows] in float16,
/// and its codes: byte c of [rows / n, columns] holds column c of n = 8 / bits rows, the first in
/// its lowest bits. So one load serves n rows, and columns lie in the lanes of registers of any
/// width.
struct CachePanelFormat {
  CacheType type = CacheType::f32;
  std::int64_t head_dim = 0;
  std::int64_t width = 0;      ///< head_dim up to a multiple of 16
  std::int64_t group = 0;      ///< channels of a value that share a grid; keys: 32 positions
  std::int64_t values_at = 0;  ///< bytes from the panel's keys to its values
  std::int64_t bytes = 0;      ///< a multiple of 64
};

/// Values in groups of 64 channels where head_dim is a multiple of that, else in one of all.
CachePanelFormat cache_panel_format(CacheType type, std::int64_t head_dim);

/// Puts key and value [head_dim] at position `slot` of a panel of float32 or float16. Numbers
/// beyond the range of float16 become its largest.
void store_in_panel(const CachePanelFormat& format, std::int64_t slot, const float* key,
                    const float* value, std::byte* panel);

/// Rounds a panel of float16 to the integers of `format`: each grid spans the least and the largest
/// value of its group, both as float16 gives them.
void quantize_panel(const CachePanelFormat& format, const std::byte* float16_panel,
                    std::byte* panel);

}  // namespace terse::kernels
