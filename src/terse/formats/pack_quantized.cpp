#include "terse/formats/pack_quantized.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/formats/bit_packing.h"

namespace terse {
namespace {

// Rows that one call of a parallel loop works on.
constexpr std::int64_t kTile = 64;

template <class Body>
void for_each_row(std::int64_t rows, const Body& body) {
  parallel_for((rows + kTile - 1) / kTile, [&](std::int64_t tile) {
    const std::int64_t end = std::min(rows, (tile + 1) * kTile);
    for (std::int64_t r = tile * kTile; r < end; ++r) body(r);
  });
}

Shape scale_shape(const QuantizedMatrix& matrix) {
  if (matrix.scheme.strategy == QuantizationStrategy::tensor) return {1};
  return {matrix.rows, matrix.scheme.groups(matrix.columns)};
}

void check_group_size(const QuantizationScheme& scheme, std::int64_t columns) {
  if (scheme.strategy == QuantizationStrategy::group &&
      (scheme.group_size <= 0 || columns % scheme.group_size != 0)) {
    throw bad_input("group_size {} does not divide {} columns", scheme.group_size, columns);
  }
}

void check_matrix(const QuantizedMatrix& matrix) {
  const auto values = static_cast<std::size_t>(element_count(scale_shape(matrix)));
  const auto columns = static_cast<std::size_t>(matrix.columns);
  const auto fits = [&](std::uint8_t code) { return code < matrix.scheme.levels(); };
  if (matrix.codes.size() != static_cast<std::size_t>(matrix.rows) * columns ||
      static_cast<std::size_t>(matrix.scales.size()) != values || matrix.zeros.size() != values ||
      (!matrix.g_idx.empty() && matrix.g_idx.size() != columns) ||
      !std::ranges::all_of(matrix.codes, fits) || !std::ranges::all_of(matrix.zeros, fits)) {
    throw failure("a quantized matrix of {} rows and {} columns contradicts its scheme",
                  matrix.rows, matrix.columns);
  }
}

Tensor int32_tensor(Shape shape, const std::vector<std::uint32_t>& words) {
  return Tensor::from_values(DType::i32, std::move(shape), std::span<const std::uint32_t>(words));
}

Tensor packed_codes(const QuantizedMatrix& matrix) {
  const int bits = matrix.scheme.bits;
  const std::int64_t words = packed_words(matrix.columns, bits, BitPacking::dense);
  std::vector<std::uint32_t> packed(static_cast<std::size_t>(matrix.rows * words));
  for_each_row(matrix.rows, [&](std::int64_t r) {
    pack_line_dense(matrix.codes.data() + r * matrix.columns, 1, matrix.columns, bits,
                    packed.data() + r * words, 1);
  });
  return int32_tensor({matrix.rows, words}, packed);
}

Tensor packed_zeros(const QuantizedMatrix& matrix) {
  if (matrix.scheme.strategy == QuantizationStrategy::tensor) {
    const auto zero = static_cast<std::int8_t>(matrix.zeros[0] - matrix.scheme.middle());
    return Tensor::from_values(DType::i8, {1}, std::span<const std::int8_t>(&zero, 1));
  }
  const int bits = matrix.scheme.bits;
  const std::int64_t groups = matrix.scales.cols();
  const std::int64_t words = packed_words(matrix.rows, bits, BitPacking::dense);
  std::vector<std::uint32_t> packed(static_cast<std::size_t>(words * groups));
  for (std::int64_t g = 0; g < groups; ++g) {
    pack_line_dense(matrix.zeros.data() + g, groups, matrix.rows, bits, packed.data() + g, groups);
  }
  return int32_tensor({words, groups}, packed);
}

Tensor group_indexes(const QuantizedMatrix& matrix) {
  std::vector<std::uint32_t> indexes;
  for (std::int64_t c = 0; c < matrix.columns; ++c) {
    indexes.push_back(static_cast<std::uint32_t>(matrix.group_of(c)));
  }
  return int32_tensor({matrix.columns}, indexes);
}

// Reads the tensors of one module; every error names the tensor.
class Reader {
 public:
  Reader(const std::string& module_name, const QuantizationScheme& scheme,
         const TensorLookup& lookup)
      : module_name_(module_name), lookup_(lookup) {
    matrix_.scheme = scheme;
  }

  QuantizedMatrix read() {
    read_shape();
    const Tensor packed = get("weight_packed", {DType::i32});
    const bool has_packed_zeros =
        !scheme().symmetric && scheme().strategy != QuantizationStrategy::tensor;
    std::optional<Tensor> zeros;
    if (has_packed_zeros) zeros = get("weight_zero_point", {DType::i32});
    choose_packing(packed, zeros);
    read_scales();
    read_codes(packed);
    read_zeros(zeros);
    if (scheme().actorder == ActivationOrdering::group) read_g_idx();
    return std::move(matrix_);
  }

 private:
  const QuantizationScheme& scheme() const { return matrix_.scheme; }
  std::int64_t groups() const { return scheme().groups(matrix_.columns); }
  std::string name(std::string_view part) const { return fmt::format("{}.{}", module_name_, part); }

  Tensor get(std::string_view part, std::initializer_list<DType> dtypes) const {
    Tensor tensor = lookup_(name(part));
    if (std::ranges::find(dtypes, tensor.dtype()) == dtypes.end()) {
      throw bad_input("tensor {}: expected {}, found {}", name(part), dtype_name(*dtypes.begin()),
                      dtype_name(tensor.dtype()));
    }
    return tensor;
  }

  void check_shape(std::string_view part, const Tensor& tensor, const Shape& expected) const {
    if (tensor.shape() == expected) return;
    throw bad_input("tensor {}: expected shape {} for a weight of [{}, {}] at {} bits, found {}",
                    name(part), shape_text(expected), matrix_.rows, matrix_.columns, scheme().bits,
                    shape_text(tensor.shape()));
  }

  void read_shape() {
    const Tensor shape = get("weight_shape", {DType::i64, DType::i32});
    if (shape.elements() != 2) {
      throw bad_input("tensor {}: expected two numbers, found shape {}", name("weight_shape"),
                      shape_text(shape.shape()));
    }
    std::vector<std::int64_t> sizes;
    if (shape.dtype() == DType::i64) {
      sizes = shape.to_values<std::int64_t>();
    } else {
      for (const std::int32_t size : shape.to_values<std::int32_t>()) sizes.push_back(size);
    }
    // Below 2^31 nothing computed from one of them overflows.
    if (!std::ranges::all_of(sizes, [](auto size) { return size > 0 && size <= INT32_MAX; })) {
      throw bad_input("tensor {}: [{}, {}] is not the shape of a weight", name("weight_shape"),
                      sizes[0], sizes[1]);
    }
    matrix_.rows = sizes[0];
    matrix_.columns = sizes[1];
    with_context(module_name_, [&] { check_group_size(scheme(), matrix_.columns); });
  }

  Shape codes_shape(BitPacking packing) const {
    return {matrix_.rows, packed_words(matrix_.columns, scheme().bits, packing)};
  }
  Shape zeros_shape(BitPacking packing) const {
    return {packed_words(matrix_.rows, scheme().bits, packing), groups()};
  }

  void choose_packing(const Tensor& codes, const std::optional<Tensor>& zeros) {
    packing_ = BitPacking::padded;
    const bool is_padded = codes.shape() == codes_shape(packing_) &&
                           (!zeros || zeros->shape() == zeros_shape(packing_));
    const bool is_dense = codes.shape() == codes_shape(BitPacking::dense) &&
                          (!zeros || zeros->shape() == zeros_shape(BitPacking::dense));
    if (is_padded && !is_dense) return;
    packing_ = BitPacking::dense;
    check_shape("weight_packed", codes, codes_shape(packing_));
    if (zeros) check_shape("weight_zero_point", *zeros, zeros_shape(packing_));
  }

  void read_scales() {
    const Tensor scale = get("weight_scale", {DType::f32, DType::f16, DType::bf16});
    const bool is_tensor = scheme().strategy == QuantizationStrategy::tensor;
    const bool is_flat = groups() == 1 && scale.shape() == Shape{matrix_.rows};
    if (is_tensor ? scale.elements() != 1 : !is_flat) {
      check_shape("weight_scale", scale, is_tensor ? Shape{1} : Shape{matrix_.rows, groups()});
    }
    matrix_.scheme.scale_dtype = scale.dtype();
    matrix_.scales.resize(is_tensor ? 1 : matrix_.rows, is_tensor ? 1 : groups());
    const std::span<float> values(matrix_.scales.data(),
                                  static_cast<std::size_t>(matrix_.scales.size()));
    convert_to_float(scale.dtype(), scale.bytes(), values);
    const auto bad = std::ranges::find_if_not(values, [](float v) { return std::isfinite(v); });
    if (bad != values.end()) {
      throw bad_input("tensor {}: element {} is {}, not a finite number", name("weight_scale"),
                      bad - values.begin(), *bad);
    }
  }

  void read_codes(const Tensor& packed) {
    const auto words = packed.to_values<std::uint32_t>();
    const std::int64_t row_words = packed.shape()[1];
    matrix_.codes.resize(static_cast<std::size_t>(matrix_.rows * matrix_.columns));
    for_each_row(matrix_.rows, [&](std::int64_t r) {
      unpack_line(words.data() + r * row_words, 1, matrix_.columns, scheme().bits, packing_,
                  matrix_.codes.data() + r * matrix_.columns, 1);
    });
  }

  void read_zeros(const std::optional<Tensor>& packed) {
    matrix_.zeros.assign(static_cast<std::size_t>(matrix_.scales.size()),
                         static_cast<std::uint8_t>(scheme().middle()));
    if (scheme().symmetric) return;
    if (!packed) return read_tensor_zero();
    const auto words = packed->to_values<std::uint32_t>();
    const std::int64_t count = groups();
    for (std::int64_t g = 0; g < count; ++g) {
      unpack_line(words.data() + g, count, matrix_.rows, scheme().bits, packing_,
                  matrix_.zeros.data() + g, count);
    }
  }

  void read_tensor_zero() {
    const Tensor zero = get("weight_zero_point", {DType::i8});
    if (zero.elements() != 1) check_shape("weight_zero_point", zero, {1});
    const int code = zero.to_values<std::int8_t>()[0] + scheme().middle();
    if (code < 0 || code >= scheme().levels()) {
      throw bad_input("tensor {}: {} is outside {} bits", name("weight_zero_point"),
                      code - scheme().middle(), scheme().bits);
    }
    matrix_.zeros[0] = static_cast<std::uint8_t>(code);
  }

  void read_g_idx() {
    const Tensor indexes = get("weight_g_idx", {DType::i32});
    check_shape("weight_g_idx", indexes, {matrix_.columns});
    matrix_.g_idx = indexes.to_values<std::int32_t>();
    if (std::ranges::all_of(matrix_.g_idx, [](auto g) { return g == -1; })) {
      return matrix_.g_idx.clear();  // the reference's initial value: columns in order
    }
    const auto bad =
        std::ranges::find_if(matrix_.g_idx, [&](auto g) { return g < 0 || g >= groups(); });
    if (bad != matrix_.g_idx.end()) {
      throw bad_input("tensor {}: column {} is in group {}, but there are {} groups",
                      name("weight_g_idx"), bad - matrix_.g_idx.begin(), *bad, groups());
    }
  }

  const std::string& module_name_;
  const TensorLookup& lookup_;
  QuantizedMatrix matrix_;
  BitPacking packing_ = BitPacking::dense;
};

}  // namespace

std::vector<NamedTensor> pack_quantized(const std::string& module_name,
                                        const QuantizedMatrix& matrix) {
  with_context(module_name, [&] {
    check_group_size(matrix.scheme, matrix.columns);
    check_matrix(matrix);
  });
  const std::span<const float> scales(matrix.scales.data(),
                                      static_cast<std::size_t>(matrix.scales.size()));
  const std::vector<std::int64_t> shape{matrix.rows, matrix.columns};
  std::vector<NamedTensor> tensors;
  const auto add = [&](std::string_view part, Tensor tensor) {
    tensors.push_back({fmt::format("{}.{}", module_name, part), std::move(tensor)});
  };
  add("weight_packed", packed_codes(matrix));
  add("weight_scale", Tensor::from_floats(matrix.scheme.scale_dtype, scale_shape(matrix), scales));
  if (!matrix.scheme.symmetric) add("weight_zero_point", packed_zeros(matrix));
  if (matrix.scheme.actorder == ActivationOrdering::group) {
    add("weight_g_idx", group_indexes(matrix));
  }
  add("weight_shape", Tensor::from_values(DType::i64, {2}, std::span<const std::int64_t>(shape)));
  return tensors;
}

QuantizedMatrix unpack_quantized(const std::string& module_name, const QuantizationScheme& scheme,
                                 const TensorLookup& lookup) {
  return Reader(module_name, scheme, lookup).read();
}

}  // namespace terse
