#include "terse/formats/sparse_bitmask.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "terse/core/error.h"

namespace terse {
namespace {

Shape values_shape(SparseLayout layout, const SparseMask& mask, std::int64_t kept) {
  if (layout == SparseLayout::two_four) return {mask.rows(), mask.columns() / 2};
  return {kept};
}

// Calls body(column, index) for each kept element of a row and where it lies among the values.
template <class Body>
void for_each_value(const SparseMatrix& matrix, std::int64_t row, const Body& body) {
  std::int64_t index = matrix.offsets[static_cast<std::size_t>(row)];
  matrix.mask.for_each_kept(row, [&](std::int64_t column) { body(column, index++); });
}

// Reads the tensors of one module; every error names the tensor.
class Reader {
 public:
  Reader(const std::string& module_name, const TensorLookup& lookup)
      : module_name_(module_name), lookup_(lookup) {}

  SparseMatrix read(SparseLayout layout) const {
    const auto [rows, columns] = read_shape();
    SparseMatrix matrix{layout, {}, {}, {}};
    matrix.mask =
        SparseMask::read(name("bitmask"), lookup_(name("bitmask")), rows, columns, layout);
    matrix.offsets = matrix.mask.row_offsets();
    matrix.values = read_values(matrix);
    if (layout == SparseLayout::bitmap) check_offsets(matrix.offsets);
    return matrix;
  }

 private:
  std::string name(std::string_view part) const { return fmt::format("{}.{}", module_name_, part); }

  std::pair<std::int64_t, std::int64_t> read_shape() const {
    const auto sizes = read_two_sizes(name("shape"), lookup_(name("shape")));
    // Below 2^31 nothing computed from one of them overflows.
    if (!std::ranges::all_of(sizes, [](auto size) { return size > 0 && size <= INT32_MAX; })) {
      throw bad_input("tensor {}: [{}, {}] is not the shape of a weight", name("shape"), sizes[0],
                      sizes[1]);
    }
    return {sizes[0], sizes[1]};
  }

  Tensor read_values(const SparseMatrix& matrix) const {
    Tensor values = lookup_(name("compressed"));
    const Shape expected = values_shape(matrix.layout, matrix.mask, matrix.offsets.back());
    if (!is_floating(values.dtype()) || values.shape() != expected) {
      throw bad_input("tensor {}: expected real numbers {}, as the bitmask says, found {} {}",
                      name("compressed"), shape_text(expected), dtype_name(values.dtype()),
                      shape_text(values.shape()));
    }
    return values;
  }

  void check_offsets(const std::vector<std::int64_t>& offsets) const {
    const Tensor stored = lookup_(name("row_offsets"));
    if (stored.dtype() != DType::i64 ||
        stored.shape() != Shape{static_cast<std::int64_t>(offsets.size()) - 1}) {
      throw bad_input("tensor {}: expected I64 [{}], found {} {}", name("row_offsets"),
                      offsets.size() - 1, dtype_name(stored.dtype()), shape_text(stored.shape()));
    }
    const auto found = stored.to_values<std::int64_t>();
    const auto [bad, right] = std::ranges::mismatch(found, offsets);
    if (bad != found.end()) {
      throw bad_input("tensor {}: row {} begins at {}, but at {} by the bitmask",
                      name("row_offsets"), bad - found.begin(), *bad, *right);
    }
  }

  const std::string& module_name_;
  const TensorLookup& lookup_;
};

}  // namespace

SparseMatrix SparseMatrix::from_dense(const Tensor& dense, SparseMask mask, SparseLayout layout) {
  SparseMatrix matrix{layout, std::move(mask), {}, {}};
  if (layout == SparseLayout::two_four) matrix.mask.pad_two_four();
  matrix.offsets = matrix.mask.row_offsets();
  const std::size_t size = dtype_size(dense.dtype());
  const std::int64_t columns = matrix.mask.columns();
  const std::byte* from = dense.bytes().data();
  std::vector<std::byte> values(static_cast<std::size_t>(matrix.offsets.back()) * size);
  for_each_row(matrix.mask.rows(), [&](std::int64_t r) {
    for_each_value(matrix, r, [&](std::int64_t column, std::int64_t index) {
      std::memcpy(values.data() + static_cast<std::size_t>(index) * size,
                  from + static_cast<std::size_t>(r * columns + column) * size, size);
    });
  });
  matrix.values = Tensor::from_bytes(
      dense.dtype(), values_shape(layout, matrix.mask, matrix.offsets.back()), std::move(values));
  return matrix;
}

Tensor SparseMatrix::dense() const {
  const std::size_t size = dtype_size(values.dtype());
  const std::int64_t columns = mask.columns();
  const std::byte* from = values.bytes().data();
  std::vector<std::byte> bytes(static_cast<std::size_t>(mask.rows() * columns) * size);
  for_each_row(mask.rows(), [&](std::int64_t r) {
    for_each_value(*this, r, [&](std::int64_t column, std::int64_t index) {
      std::memcpy(bytes.data() + static_cast<std::size_t>(r * columns + column) * size,
                  from + static_cast<std::size_t>(index) * size, size);
    });
  });
  return Tensor::from_bytes(values.dtype(), {mask.rows(), columns}, std::move(bytes));
}

void SparseMatrix::row(std::int64_t index, float* out) const {
  const auto at = static_cast<std::size_t>(index);
  const std::size_t size = dtype_size(values.dtype());
  std::vector<float> kept(static_cast<std::size_t>(offsets[at + 1] - offsets[at]));
  convert_to_float(
      values.dtype(),
      values.bytes().subspan(static_cast<std::size_t>(offsets[at]) * size, kept.size() * size),
      kept);
  std::fill_n(out, mask.columns(), 0.0F);
  auto next = kept.begin();
  mask.for_each_kept(index, [&](std::int64_t column) { out[column] = *next++; });
}

std::vector<NamedTensor> pack_sparse(const std::string& module_name, const SparseMatrix& matrix) {
  const bool two_four = matrix.layout == SparseLayout::two_four;
  const std::vector<std::int64_t> sizes{matrix.mask.rows(), matrix.mask.columns()};
  const std::span<const std::int64_t> offsets(matrix.offsets.data(),
                                              static_cast<std::size_t>(matrix.mask.rows()));
  std::vector<NamedTensor> tensors;
  const auto add = [&](std::string_view part, Tensor tensor) {
    tensors.push_back({fmt::format("{}.{}", module_name, part), std::move(tensor)});
  };
  add("shape", Tensor::from_values(DType::i64, two_four ? Shape{2, 1} : Shape{2},
                                   std::span<const std::int64_t>(sizes)));
  add("compressed", matrix.values);
  add("bitmask", matrix.mask.tensor());
  if (!two_four) {
    add("row_offsets", Tensor::from_values(DType::i64, {matrix.mask.rows()}, offsets));
  }
  return tensors;
}

SparseMatrix unpack_sparse(const std::string& module_name, SparseLayout layout,
                           const TensorLookup& lookup) {
  return Reader(module_name, lookup).read(layout);
}

}  // namespace terse
