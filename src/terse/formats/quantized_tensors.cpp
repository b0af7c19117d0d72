#include "terse/formats/quantized_tensors.h"

#include <fmt/format.h>

#include <cmath>

#include "terse/core/error.h"

namespace terse {
namespace {

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

bool is_static(const QuantizationScheme& scheme) {
  return scheme.activations && !scheme.activations->dynamic();
}

// An integer of the grid of static inputs.
bool fits_input_grid(const ActivationScheme& activations, float zero) {
  const auto half = static_cast<float>(1 << (activations.bits - 1));
  if (activations.symmetric) return zero == 0.0F;
  return zero >= -half && zero < half && zero == std::nearbyint(zero);
}

void check_parts(const QuantizedMatrix& matrix) {
  const auto values = static_cast<std::size_t>(element_count(scale_shape(matrix)));
  const auto columns = static_cast<std::size_t>(matrix.columns);
  const auto fits = [&](std::uint8_t code) { return code < matrix.scheme.levels(); };
  const bool inputs_fit =
      !is_static(matrix.scheme) || (std::isfinite(matrix.input_scale) && matrix.input_scale > 0 &&
                                    fits_input_grid(*matrix.scheme.activations, matrix.input_zero));
  if (matrix.codes.size() != static_cast<std::size_t>(matrix.rows) * columns ||
      static_cast<std::size_t>(matrix.scales.size()) != values || matrix.zeros.size() != values ||
      (!matrix.g_idx.empty() && matrix.g_idx.size() != columns) ||
      !std::ranges::all_of(matrix.codes, fits) || !std::ranges::all_of(matrix.zeros, fits) ||
      !inputs_fit) {
    throw failure("a quantized matrix of {} rows and {} columns contradicts its scheme",
                  matrix.rows, matrix.columns);
  }
}

Tensor int8_tensor(Shape shape, const std::vector<std::int8_t>& values) {
  return Tensor::from_values(DType::i8, std::move(shape), std::span<const std::int8_t>(values));
}

}  // namespace

void check_quantized(const std::string& module_name, const QuantizedMatrix& matrix) {
  with_context(module_name, [&] {
    check_group_size(matrix.scheme, matrix.columns);
    check_parts(matrix);
  });
}

Tensor int32_tensor(Shape shape, const std::vector<std::uint32_t>& words) {
  return Tensor::from_values(DType::i32, std::move(shape), std::span<const std::uint32_t>(words));
}

std::vector<std::int64_t> read_two_sizes(const std::string& name, const Tensor& tensor) {
  if (tensor.elements() != 2) {
    throw bad_input("tensor {}: expected two numbers, found shape {}", name,
                    shape_text(tensor.shape()));
  }
  if (tensor.dtype() == DType::i64) return tensor.to_values<std::int64_t>();
  if (tensor.dtype() != DType::i32) {
    throw bad_input("tensor {}: expected I64, found {}", name, dtype_name(tensor.dtype()));
  }
  const auto sizes = tensor.to_values<std::int32_t>();
  return {sizes.begin(), sizes.end()};
}

QuantizedWriter::QuantizedWriter(const std::string& module_name, const QuantizedMatrix& matrix)
    : module_name_(module_name), matrix_(matrix) {}

void QuantizedWriter::add(std::string_view part, Tensor tensor) {
  tensors_.push_back({fmt::format("{}.{}", module_name_, part), std::move(tensor)});
}

void QuantizedWriter::add_shape() {
  const std::vector<std::int64_t> shape{matrix_.rows, matrix_.columns};
  add("weight_shape", Tensor::from_values(DType::i64, {2}, std::span<const std::int64_t>(shape)));
}

void QuantizedWriter::add_scales() {
  const std::span<const float> scales(matrix_.scales.data(),
                                      static_cast<std::size_t>(matrix_.scales.size()));
  add("weight_scale",
      Tensor::from_floats(matrix_.scheme.scale_dtype, scale_shape(matrix_), scales));
}

void QuantizedWriter::add_packed_zeros() {
  if (matrix_.scheme.symmetric) return;
  if (matrix_.scheme.strategy == QuantizationStrategy::tensor) return add_int8_zeros();
  const int bits = matrix_.scheme.bits;
  const std::int64_t groups = matrix_.scales.cols();
  const std::int64_t words = packed_words(matrix_.rows, bits, BitPacking::dense);
  std::vector<std::uint32_t> packed(static_cast<std::size_t>(words * groups));
  for (std::int64_t g = 0; g < groups; ++g) {
    pack_line_dense(matrix_.zeros.data() + g, groups, matrix_.rows, bits, packed.data() + g,
                    groups);
  }
  add("weight_zero_point", int32_tensor({words, groups}, packed));
}

void QuantizedWriter::add_int8_zeros() {
  if (matrix_.scheme.symmetric) return;
  std::vector<std::int8_t> zeros;
  for (const std::uint8_t zero : matrix_.zeros) {
    zeros.push_back(static_cast<std::int8_t>(zero - matrix_.scheme.middle()));
  }
  add("weight_zero_point", int8_tensor(scale_shape(matrix_), zeros));
}

void QuantizedWriter::add_group_index() {
  if (matrix_.scheme.actorder != ActivationOrdering::group) return;
  std::vector<std::uint32_t> indexes;
  for (std::int64_t c = 0; c < matrix_.columns; ++c) {
    indexes.push_back(static_cast<std::uint32_t>(matrix_.group_of(c)));
  }
  add("weight_g_idx", int32_tensor({matrix_.columns}, indexes));
}

void QuantizedWriter::add_input_grid() {
  if (!is_static(matrix_.scheme)) return;
  add("input_scale", Tensor::from_floats(DType::f32, {1}, {&matrix_.input_scale, 1}));
  if (matrix_.scheme.activations->symmetric) return;
  add("input_zero_point", int8_tensor({1}, {static_cast<std::int8_t>(matrix_.input_zero)}));
}

QuantizedReader::QuantizedReader(const std::string& module_name, const QuantizationScheme& scheme,
                                 const TensorLookup& lookup)
    : module_name_(module_name), lookup_(lookup) {
  matrix_.scheme = scheme;
}

std::string QuantizedReader::name(std::string_view part) const {
  return fmt::format("{}.{}", module_name_, part);
}

Tensor QuantizedReader::get(std::string_view part, std::initializer_list<DType> dtypes) const {
  Tensor tensor = lookup_(name(part));
  if (std::ranges::find(dtypes, tensor.dtype()) == dtypes.end()) {
    throw bad_input("tensor {}: expected {}, found {}", name(part), dtype_name(*dtypes.begin()),
                    dtype_name(tensor.dtype()));
  }
  return tensor;
}

void QuantizedReader::check_shape(std::string_view part, const Tensor& tensor,
                                  const Shape& expected) const {
  if (tensor.shape() == expected) return;
  throw bad_input("tensor {}: expected shape {} for a weight of [{}, {}] at {} bits, found {}",
                  name(part), shape_text(expected), matrix_.rows, matrix_.columns, scheme().bits,
                  shape_text(tensor.shape()));
}

void QuantizedReader::set_shape(std::string_view part, const std::vector<std::int64_t>& sizes) {
  // Below 2^31 nothing computed from one of them overflows.
  if (!std::ranges::all_of(sizes, [](auto size) { return size > 0 && size <= INT32_MAX; })) {
    throw bad_input("tensor {}: [{}, {}] is not the shape of a weight", name(part), sizes[0],
                    sizes[1]);
  }
  matrix_.rows = sizes[0];
  matrix_.columns = sizes[1];
  with_context(module_name_, [&] { check_group_size(scheme(), matrix_.columns); });
}

void QuantizedReader::read_shape() {
  const Tensor shape = get("weight_shape", {DType::i64, DType::i32});
  set_shape("weight_shape", read_two_sizes(name("weight_shape"), shape));
}

Shape QuantizedReader::packed_zeros_shape(BitPacking packing) const {
  return {packed_words(matrix_.rows, scheme().bits, packing), groups()};
}

void QuantizedReader::read_scales() {
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

void QuantizedReader::set_symmetric_zeros() {
  matrix_.zeros.assign(static_cast<std::size_t>(matrix_.scales.size()),
                       static_cast<std::uint8_t>(scheme().middle()));
}

void QuantizedReader::read_packed_zeros(const Tensor& packed, BitPacking packing) {
  set_symmetric_zeros();
  const auto words = packed.to_values<std::uint32_t>();
  const std::int64_t count = groups();
  for (std::int64_t g = 0; g < count; ++g) {
    unpack_line(words.data() + g, count, matrix_.rows, scheme().bits, packing,
                matrix_.zeros.data() + g, count);
  }
}

void QuantizedReader::read_int8_zeros() {
  set_symmetric_zeros();
  if (scheme().symmetric) return;
  const Tensor zeros = get("weight_zero_point", {DType::i8});
  const auto count = static_cast<std::int64_t>(matrix_.zeros.size());
  const bool is_flat = groups() == 1 && zeros.shape() == Shape{matrix_.rows};
  const bool is_tensor = scheme().strategy == QuantizationStrategy::tensor;
  if (is_tensor ? zeros.elements() != 1 : !is_flat) {
    check_shape("weight_zero_point", zeros, is_tensor ? Shape{1} : Shape{matrix_.rows, groups()});
  }
  const auto values = zeros.to_values<std::int8_t>();
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const int code = values[at] + scheme().middle();
    if (code < 0 || code >= scheme().levels()) {
      throw bad_input("tensor {}: {} is outside {} bits", name("weight_zero_point"), values[at],
                      scheme().bits);
    }
    matrix_.zeros[at] = static_cast<std::uint8_t>(code);
  }
}

void QuantizedReader::read_group_index() {
  if (scheme().actorder != ActivationOrdering::group) return;
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

void QuantizedReader::read_input_grid() {
  if (!is_static(scheme())) return;
  const Tensor scale = get("input_scale", {DType::f32, DType::f16, DType::bf16});
  if (scale.elements() != 1) check_shape("input_scale", scale, {1});
  matrix_.input_scale = scale.to_floats()[0];
  if (!std::isfinite(matrix_.input_scale) || !(matrix_.input_scale > 0)) {
    throw bad_input("tensor {}: {} is not a positive number", name("input_scale"),
                    matrix_.input_scale);
  }
  if (scheme().activations->symmetric) return;
  const Tensor zero = get("input_zero_point", {DType::i8});
  if (zero.elements() != 1) check_shape("input_zero_point", zero, {1});
  matrix_.input_zero = static_cast<float>(zero.to_values<std::int8_t>()[0]);
  if (!fits_input_grid(*scheme().activations, matrix_.input_zero)) {
    throw bad_input("tensor {}: {} is outside {} bits", name("input_zero_point"),
                    matrix_.input_zero, scheme().activations->bits);
  }
}

}  // namespace terse
