#include "terse/kernels/cache_panel.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "terse/core/dtype.h"

namespace terse::kernels {
namespace {

constexpr std::int64_t kWidthStep = 16;
constexpr std::int64_t kValueGroup = 64;
constexpr float kLargestFloat16 = 65504.0F;

int bits_of(CacheType type) {
  switch (type) {
    case CacheType::f32:
      return 32;
    case CacheType::f16:
      return 16;
    case CacheType::bits8:
      return 8;
    case CacheType::bits4:
      return 4;
    case CacheType::bits2:
      return 2;
  }
  return 0;
}

// One of the two matrices of a panel, of which `used` rows and columns hold something.
struct PanelMatrix {
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t group;
  std::int64_t used_rows;
  std::int64_t used_columns;

  std::int64_t grids() const { return rows * (columns / group); }
  std::int64_t bytes(CacheType type) const {
    const std::int64_t grid_bytes = bits_of(type) <= 8 ? 2 * sizeof(std::uint16_t) : 0;
    return grids() * grid_bytes + rows * columns * bits_of(type) / 8;
  }
};

PanelMatrix keys_of(const CachePanelFormat& format) {
  return {format.width, kCachePanel, kCachePanel, format.head_dim, kCachePanel};
}

PanelMatrix values_of(const CachePanelFormat& format) {
  return {kCachePanel, format.width, format.group, kCachePanel, format.head_dim};
}

std::uint16_t float16_bits(float value) {
  return float_to_f16(std::clamp(value, -kLargestFloat16, kLargestFloat16));
}

void store_number(CacheType type, float value, std::int64_t index, std::byte* numbers) {
  if (type == CacheType::f32) {
    std::memcpy(numbers + index * sizeof value, &value, sizeof value);
  } else {
    const std::uint16_t bits = float16_bits(value);
    std::memcpy(numbers + index * sizeof bits, &bits, sizeof bits);
  }
}

struct Grid {
  float scale;
  float low;
  float inverse;

  // NaN stays: a grid of NaN makes its whole group NaN.
  int code(float value, int levels) const {
    const float steps = (value - low) * inverse;
    return steps > 0 ? static_cast<int>(std::lrint(std::min(steps, static_cast<float>(levels))))
                     : 0;
  }
};

// Puts integers of a matrix in their places.
class MatrixQuantizer {
 public:
  MatrixQuantizer(const PanelMatrix& matrix, int bits, const std::byte* from, std::byte* to)
      : matrix_(matrix), bits_(bits), from_(from), to_(to) {}

  void run() {
    std::byte* codes = to_ + 2 * matrix_.grids() * sizeof(std::uint16_t);
    std::memset(codes, 0, static_cast<std::size_t>(matrix_.rows * matrix_.columns * bits_ / 8));
    for (std::int64_t row = 0; row < matrix_.rows; ++row) {
      for (std::int64_t at = 0; at < matrix_.columns; at += matrix_.group) {
        quantize_group(row, at, codes);
      }
    }
  }

 private:
  float value(std::int64_t row, std::int64_t column) const {
    std::uint16_t bits = 0;
    std::memcpy(&bits, from_ + (row * matrix_.columns + column) * sizeof bits, sizeof bits);
    return f16_to_float(bits);
  }

  int levels() const { return (1 << bits_) - 1; }

  Grid store_grid(std::int64_t index, float least, float largest) {
    const std::uint16_t scale = float16_bits((largest - least) / static_cast<float>(levels()));
    const std::uint16_t low = float16_bits(least);
    std::memcpy(to_ + index * sizeof scale, &scale, sizeof scale);
    std::memcpy(to_ + (matrix_.grids() + index) * sizeof low, &low, sizeof low);
    const float stored = f16_to_float(scale);
    return {stored, least, stored > 0 ? 1 / stored : 0};
  }

  void quantize_group(std::int64_t row, std::int64_t begin, std::byte* codes) {
    const std::int64_t end =
        row < matrix_.used_rows ? std::min(begin + matrix_.group, matrix_.used_columns) : begin;
    float least = end > begin ? value(row, begin) : 0;
    float largest = least;
    for (std::int64_t c = begin; c < end; ++c) {
      const float x = value(row, c);
      // Written so that NaN is taken and kept.
      if (!(x >= least)) least = x;
      if (!(x <= largest)) largest = x;
    }
    const Grid grid = store_grid(begin / matrix_.group * matrix_.rows + row, least, largest);
    const std::int64_t together = 8 / bits_;
    std::byte* out = codes + row / together * matrix_.columns;
    const auto shift = static_cast<int>(row % together) * bits_;
    for (std::int64_t c = begin; c < end; ++c) {
      out[c] |= static_cast<std::byte>(grid.code(value(row, c), levels()) << shift);
    }
  }

  PanelMatrix matrix_;
  int bits_;
  const std::byte* from_;
  std::byte* to_;
};

}  // namespace

CachePanelFormat cache_panel_format(CacheType type, std::int64_t head_dim) {
  CachePanelFormat format;
  format.type = type;
  format.head_dim = head_dim;
  format.width = (head_dim + kWidthStep - 1) / kWidthStep * kWidthStep;
  format.group = head_dim % kValueGroup == 0 ? kValueGroup : format.width;
  format.values_at = keys_of(format).bytes(type);
  format.bytes = format.values_at + values_of(format).bytes(type);
  return format;
}

void store_in_panel(const CachePanelFormat& format, std::int64_t slot, const float* key,
                    const float* value, std::byte* panel) {
  for (std::int64_t i = 0; i < format.head_dim; ++i) {
    store_number(format.type, key[i], i * kCachePanel + slot, panel);
    store_number(format.type, value[i], slot * format.width + i, panel + format.values_at);
  }
}

void quantize_panel(const CachePanelFormat& format, const std::byte* float16_panel,
                    std::byte* panel) {
  const CachePanelFormat from = cache_panel_format(CacheType::f16, format.head_dim);
  const int bits = bits_of(format.type);
  MatrixQuantizer(keys_of(format), bits, float16_panel, panel).run();
  MatrixQuantizer(values_of(format), bits, float16_panel + from.values_at, panel + format.values_at)
      .run();
}

}  // namespace terse::kernels
