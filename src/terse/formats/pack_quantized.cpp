#include "terse/formats/pack_quantized.h"

#include <optional>

namespace terse {
namespace {

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

BitPacking choose_packing(const QuantizedReader& reader, std::int64_t rows, std::int64_t columns,
                          const Tensor& codes, const std::optional<Tensor>& zeros) {
  const auto codes_shape = [&](BitPacking packing) {
    return Shape{rows, packed_words(columns, reader.scheme().bits, packing)};
  };
  const auto fits = [&](BitPacking packing) {
    return codes.shape() == codes_shape(packing) &&
           (!zeros || zeros->shape() == reader.packed_zeros_shape(packing));
  };
  if (fits(BitPacking::padded) && !fits(BitPacking::dense)) return BitPacking::padded;
  reader.check_shape("weight_packed", codes, codes_shape(BitPacking::dense));
  if (zeros) {
    reader.check_shape("weight_zero_point", *zeros, reader.packed_zeros_shape(BitPacking::dense));
  }
  return BitPacking::dense;
}

/// Codes where they are stored: `packed` is int32 [rows, words].
CodeRows stored_codes(const Tensor& packed, BitPacking packing, const QuantizedMatrix& matrix) {
  const std::int64_t row_bytes = packed.shape()[1] * 4;
  const auto row = [=, columns = matrix.columns, bits = matrix.scheme.bits](std::int64_t r,
                                                                            std::uint8_t* out) {
    unpack_codes(packed.bytes().subspan(static_cast<std::size_t>(r * row_bytes)), columns, bits,
                 packing, out);
  };
  return {row, matrix.scheme.bits == 4 ? packed.bytes().data() : nullptr, row_bytes};
}

}  // namespace

std::vector<NamedTensor> pack_quantized(const std::string& module_name,
                                        const QuantizedMatrix& matrix) {
  check_quantized(module_name, matrix);
  QuantizedWriter writer(module_name, matrix);
  writer.add("weight_packed", packed_codes(matrix));
  writer.add_scales();
  writer.add_packed_zeros();
  writer.add_group_index();
  writer.add_shape();
  writer.add_input_grid();
  return writer.take();
}

QuantizedMatrix open_quantized(const std::string& module_name, const QuantizationScheme& scheme,
                               const TensorLookup& lookup) {
  QuantizedReader reader(module_name, scheme, lookup);
  reader.read_shape();
  QuantizedMatrix& matrix = reader.matrix();
  const Tensor packed = reader.get("weight_packed", {DType::i32});
  std::optional<Tensor> zeros;
  if (reader.has_packed_zeros()) zeros = reader.get("weight_zero_point", {DType::i32});
  const BitPacking packing = choose_packing(reader, matrix.rows, matrix.columns, packed, zeros);
  reader.read_scales();
  matrix.stored = stored_codes(packed, packing, matrix);
  if (zeros) {
    reader.read_packed_zeros(*zeros, packing);
  } else {
    reader.read_int8_zeros();
  }
  reader.read_group_index();
  reader.read_input_grid();
  return std::move(matrix);
}

QuantizedMatrix unpack_quantized(const std::string& module_name, const QuantizationScheme& scheme,
                                 const TensorLookup& lookup) {
  QuantizedMatrix matrix = open_quantized(module_name, scheme, lookup);
  matrix.read_codes();
  return matrix;
}

}  // namespace terse
