#include "terse/core/tensor.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "terse/core/error.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

// Elements that are converted at a time, by one thread.
constexpr std::size_t kChunk = 1 << 16;

// Calls body(first, count) for chunks of elements, on all threads where there are several.
template <class Body>
void for_chunks(std::size_t elements, const Body& body) {
  if (elements <= kChunk) return body(std::size_t{0}, elements);
  parallel_tiles(static_cast<std::int64_t>(elements), static_cast<std::int64_t>(kChunk),
                 [&](std::int64_t first, std::int64_t count) {
                   body(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
                 });
}

void to_float(DType dtype, std::span<const std::byte> bytes, std::span<float> values) {
  const std::size_t size = dtype_size(dtype);
  for_chunks(values.size(), [&](std::size_t first, std::size_t count) {
    convert_to_float(dtype, bytes.subspan(first * size, count * size),
                     values.subspan(first, count));
  });
}

}  // namespace

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(count, dimension, &count)) {
      throw bad_input("shape {} has no valid number of elements", shape_text(shape));
    }
  }
  return count;
}

std::string shape_text(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

Tensor::Tensor(DType dtype, Shape shape, std::span<const std::byte> bytes,
               std::shared_ptr<const void> owner)
    : dtype_(dtype), shape_(std::move(shape)), bytes_(bytes), owner_(std::move(owner)) {
  if (static_cast<std::size_t>(element_count(shape_)) * dtype_size(dtype_) != bytes_.size()) {
    throw failure("a {} tensor of shape {} does not have {} bytes", dtype_name(dtype_),
                  shape_text(shape_), bytes_.size());
  }
}

Tensor Tensor::from_bytes(DType dtype, Shape shape, std::vector<std::byte> bytes) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  const std::span<const std::byte> view(*owner);
  return {dtype, std::move(shape), view, std::move(owner)};
}

Tensor Tensor::from_floats(DType dtype, Shape shape, std::span<const float> values) {
  const std::size_t size = dtype_size(dtype);
  std::vector<std::byte> bytes(values.size() * size);
  for_chunks(values.size(), [&](std::size_t first, std::size_t count) {
    convert_from_float(dtype, values.subspan(first, count),
                       std::span(bytes).subspan(first * size, count * size));
  });
  return from_bytes(dtype, std::move(shape), std::move(bytes));
}

Tensor Tensor::from_matrix(DType dtype, const Matrix& values) {
  return from_floats(dtype, {values.rows(), values.cols()},
                     {values.data(), static_cast<std::size_t>(values.size())});
}

Tensor Tensor::from_vector(DType dtype, const Vector& values) {
  return from_floats(dtype, {values.size()},
                     {values.data(), static_cast<std::size_t>(values.size())});
}

std::vector<float> Tensor::to_floats() const {
  std::vector<float> values(static_cast<std::size_t>(elements()));
  to_float(dtype_, bytes_, values);
  return values;
}

Matrix Tensor::to_matrix() const {
  if (shape_.empty() || shape_.size() > 2) {
    throw bad_input("shape {} found where one or two dimensions are expected", shape_text(shape_));
  }
  Matrix matrix(shape_.size() == 2 ? shape_[0] : 1, shape_.back());
  to_float(dtype_, bytes_, {matrix.data(), static_cast<std::size_t>(matrix.size())});
  return matrix;
}

bool all_finite(std::span<const float> values) {
  // Zero times a value is zero unless the value is not finite; the sum vectorises.
  std::array<float, 16> probes{};
  std::size_t i = 0;
  for (; i + probes.size() <= values.size(); i += probes.size()) {
    for (std::size_t lane = 0; lane < probes.size(); ++lane)
      probes[lane] += values[i + lane] * 0.0F;
  }
  for (; i < values.size(); ++i) probes[0] += values[i] * 0.0F;
  return std::ranges::all_of(probes, [](float probe) { return probe == 0.0F; });
}

bool all_finite(const Tensor& tensor) {
  const std::size_t element = dtype_size(tensor.dtype());
  const auto count = tensor.bytes().size() / element;
  std::atomic<bool> finite = true;
  for_chunks(count, [&](std::size_t first, std::size_t size) {
    std::vector<float> values(size);
    convert_to_float(tensor.dtype(), tensor.bytes().subspan(first * element, size * element),
                     values);
    if (!all_finite(values)) finite = false;
  });
  return finite;
}

void Tensor::check_element_size(std::size_t size) const {
  if (size != dtype_size(dtype_)) {
    throw failure("a tensor of {} read as elements of {} bytes", dtype_name(dtype_), size);
  }
}

}  // namespace terse
