#include "terse/kernels/panels.h"

#include <algorithm>
#include <cstring>

#include "terse/core/error.h"
#include "terse/kernels/partition.h"

namespace terse::kernels {
namespace {

constexpr std::int64_t kWidth = Panels::kWidth;

std::size_t storage_size(std::int64_t n, std::int64_t k, DType dtype) {
  return static_cast<std::size_t>(pieces(n, kWidth)) * static_cast<std::size_t>(k * kWidth) *
         dtype_size(dtype);
}

/// Where element [i, j] of a matrix of `Size`-byte values is: source + (i * row + j * column).
struct Layout {
  const std::byte* source;
  std::int64_t row;
  std::int64_t column;
};

/// Copies rows [row, row + count) into a panel. Blocks of columns keep both sides in the cache.
template <std::size_t Size>
void pack_panel(const Layout& from, std::int64_t row, std::int64_t count, std::int64_t k,
                std::byte* panel) {
  constexpr std::int64_t kColumns = 64;
  if (count < kWidth) std::memset(panel, 0, static_cast<std::size_t>(k * kWidth) * Size);
  for (std::int64_t begin = 0; begin < k; begin += kColumns) {
    const std::int64_t end = std::min(begin + kColumns, k);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::byte* source = from.source + (row + i) * from.row;
      for (std::int64_t j = begin; j < end; ++j) {
        std::memcpy(panel + static_cast<std::size_t>(j * kWidth + i) * Size,
                    source + j * from.column, Size);
      }
    }
  }
}

template <std::size_t Size>
void pack_panels(const Layout& from, std::int64_t n, std::int64_t k, std::byte* storage) {
  parallel_for(pieces(n, kWidth), [&](std::int64_t index) {
    const std::int64_t row = index * kWidth;
    pack_panel<Size>(from, row, std::min(kWidth, n - row), k,
                     storage + static_cast<std::size_t>(row * k) * Size);
  });
}

}  // namespace

Storage storage_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return Storage::bf16;
    case DType::f16:
      return Storage::f16;
    default:
      return Storage::f32;
  }
}

Panels Panels::pack(const float* source, std::int64_t n, std::int64_t k, std::int64_t stride) {
  Panels result;
  result.n_ = n;
  result.k_ = k;
  result.storage_.resize(storage_size(n, k, DType::f32));
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(float));
  pack_panels<sizeof(float)>({reinterpret_cast<const std::byte*>(source), stride * kSize, kSize}, n,
                             k, result.storage_.data());
  return result;
}

Panels Panels::pack(const Tensor& tensor, bool transposed) {
  const Shape& shape = tensor.shape();
  if (shape.size() != 2) {
    throw bad_input("a weight has shape {}, expected two dimensions", shape_text(shape));
  }
  const bool is_half = tensor.dtype() == DType::bf16 || tensor.dtype() == DType::f16;
  if (!is_half && tensor.dtype() != DType::f32) {
    return pack(Tensor::from_floats(DType::f32, shape, tensor.to_floats()), transposed);
  }
  Panels result;
  result.dtype_ = tensor.dtype();
  result.n_ = shape[transposed ? 1 : 0];
  result.k_ = shape[transposed ? 0 : 1];
  result.storage_.resize(storage_size(result.n_, result.k_, result.dtype_));
  const auto size = static_cast<std::int64_t>(dtype_size(result.dtype_));
  const Layout from{tensor.bytes().data(), transposed ? size : shape[1] * size,
                    transposed ? shape[1] * size : size};
  std::byte* storage = result.storage_.data();
  if (is_half) {
    pack_panels<2>(from, result.n_, result.k_, storage);
  } else {
    pack_panels<4>(from, result.n_, result.k_, storage);
  }
  return result;
}

const std::byte* Panels::panel(std::int64_t index) const {
  return storage_.data() + static_cast<std::size_t>(index * kWidth * k_) * dtype_size(dtype_);
}

void Panels::unpack_row(std::int64_t row, float* out) const {
  const std::byte* values =
      panel(row / kWidth) + static_cast<std::size_t>(row % kWidth) * dtype_size(dtype_);
  const std::size_t step = static_cast<std::size_t>(kWidth) * dtype_size(dtype_);
  for (std::int64_t j = 0; j < k_; ++j, values += step) {
    convert_to_float(dtype_, {values, dtype_size(dtype_)}, {out + j, 1});
  }
}

}  // namespace terse::kernels
