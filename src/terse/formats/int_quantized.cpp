#include "terse/formats/int_quantized.h"

#include "terse/core/error.h"

namespace terse {
namespace {

std::span<const std::int8_t> row_of(const Tensor& weight, std::int64_t row) {
  const std::int64_t columns = weight.shape()[1];
  return {reinterpret_cast<const std::int8_t*>(weight.bytes().data()) + row * columns,
          static_cast<std::size_t>(columns)};
}

void check_codes(const QuantizedReader& reader, std::span<const std::int8_t> row, std::int64_t r) {
  const int bits = reader.scheme().bits;
  for (const std::int8_t value : row) {
    const int code = value + reader.scheme().middle();
    if (code < 0 || code >= reader.scheme().levels()) {
      throw bad_input("tensor {}: {} in row {} is outside {} bits", reader.name("weight"), value, r,
                      bits);
    }
  }
}

/// Codes where they are stored: `weight` is int8 [rows, columns], codes less `middle`.
CodeRows stored_codes(const Tensor& weight, int middle) {
  const std::int64_t columns = weight.shape()[1];
  return {[=](std::int64_t r, std::uint8_t* out) {
    const std::span<const std::int8_t> row = row_of(weight, r);
    for (std::int64_t c = 0; c < columns; ++c) {
      out[c] = static_cast<std::uint8_t>(row[static_cast<std::size_t>(c)] + middle);
    }
  }};
}

}  // namespace

std::vector<NamedTensor> store_int_quantized(const std::string& module_name,
                                             const QuantizedMatrix& matrix) {
  check_quantized(module_name, matrix);
  std::vector<std::int8_t> codes(matrix.codes.size());
  std::ranges::transform(matrix.codes, codes.begin(), [&](std::uint8_t code) {
    return static_cast<std::int8_t>(code - matrix.scheme.middle());
  });
  QuantizedWriter writer(module_name, matrix);
  writer.add("weight", Tensor::from_values(DType::i8, {matrix.rows, matrix.columns},
                                           std::span<const std::int8_t>(codes)));
  writer.add_scales();
  writer.add_int8_zeros();
  writer.add_group_index();
  writer.add_input_grid();
  return writer.take();
}

QuantizedMatrix open_int_quantized(const std::string& module_name, const QuantizationScheme& scheme,
                                   const TensorLookup& lookup) {
  QuantizedReader reader(module_name, scheme, lookup);
  const Tensor weight = reader.get("weight", {DType::i8});
  if (weight.shape().size() != 2) {
    throw bad_input("tensor {}: expected two dimensions, found shape {}", reader.name("weight"),
                    shape_text(weight.shape()));
  }
  reader.set_shape("weight", weight.shape());
  QuantizedMatrix& matrix = reader.matrix();
  reader.read_scales();
  if (scheme.bits < 8) {
    for_each_row(matrix.rows, [&](std::int64_t r) { check_codes(reader, row_of(weight, r), r); });
  }
  matrix.stored = stored_codes(weight, scheme.middle());
  reader.read_int8_zeros();
  reader.read_group_index();
  reader.read_input_grid();
  return std::move(matrix);
}

QuantizedMatrix load_int_quantized(const std::string& module_name, const QuantizationScheme& scheme,
                                   const TensorLookup& lookup) {
  QuantizedMatrix matrix = open_int_quantized(module_name, scheme, lookup);
  matrix.read_codes();
  return matrix;
}

}  // namespace terse
