#include "terse/formats/int_quantized.h"

#include "terse/core/error.h"

namespace terse {
namespace {

void read_codes(const QuantizedReader& reader, const Tensor& weight, QuantizedMatrix& matrix) {
  const int middle = matrix.scheme.middle();
  const int levels = matrix.scheme.levels();
  const auto values = weight.to_values<std::int8_t>();
  matrix.codes.resize(values.size());
  for_each_row(matrix.rows, [&](std::int64_t r) {
    for (std::int64_t c = r * matrix.columns; c < (r + 1) * matrix.columns; ++c) {
      const auto at = static_cast<std::size_t>(c);
      const int code = values[at] + middle;
      if (code < 0 || code >= levels) {
        throw bad_input("tensor {}: {} in row {} is outside {} bits", reader.name("weight"),
                        values[at], r, matrix.scheme.bits);
      }
      matrix.codes[at] = static_cast<std::uint8_t>(code);
    }
  });
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

QuantizedMatrix load_int_quantized(const std::string& module_name, const QuantizationScheme& scheme,
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
  read_codes(reader, weight, matrix);
  reader.read_int8_zeros();
  reader.read_group_index();
  reader.read_input_grid();
  return std::move(matrix);
}

}  // namespace terse
