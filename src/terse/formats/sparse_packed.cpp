#include "terse/formats/sparse_packed.h"

#include "terse/formats/bit_packing.h"

namespace terse {
namespace {

// Where the words of each row begin, and the end of the last.
std::vector<std::int64_t> word_offsets(const SparseMask& mask, int bits) {
  const std::vector<std::int64_t> elements = mask.row_offsets();
  std::vector<std::int64_t> words{0};
  for (std::size_t r = 0; r + 1 < elements.size(); ++r) {
    words.push_back(words.back() +
                    packed_words(elements[r + 1] - elements[r], bits, BitPacking::dense));
  }
  return words;
}

Shape words_shape(const SparseMask& mask, SparseLayout layout, int bits, std::int64_t words) {
  if (layout == SparseLayout::bitmap) return {words};
  return {mask.rows(), packed_words(mask.columns() / 2, bits, BitPacking::dense)};
}

std::uint8_t zero_of(const QuantizedMatrix& matrix, std::int64_t row, std::int64_t column) {
  const std::int64_t scale_row = matrix.scheme.strategy == QuantizationStrategy::tensor ? 0 : row;
  return matrix
      .zeros[static_cast<std::size_t>(scale_row * matrix.scales.cols() + matrix.group_of(column))];
}

void read_codes(const Tensor& packed, const SparseMask& mask, QuantizedMatrix& matrix) {
  const auto words = packed.to_values<std::uint32_t>();
  const int bits = matrix.scheme.bits;
  const std::vector<std::int64_t> elements = mask.row_offsets();
  const std::vector<std::int64_t> begin = word_offsets(mask, bits);
  matrix.codes.resize(static_cast<std::size_t>(matrix.rows * matrix.columns));
  for_each_row(matrix.rows, [&](std::int64_t r) {
    const auto at = static_cast<std::size_t>(r);
    const std::int64_t kept = elements[at + 1] - elements[at];
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(kept));
    unpack_line(words.data() + begin[at], 1, kept, bits, BitPacking::dense, codes.data(), 1);
    std::uint8_t* row = matrix.codes.data() + r * matrix.columns;
    for (std::int64_t c = 0; c < matrix.columns; ++c) row[c] = zero_of(matrix, r, c);
    auto next = codes.begin();
    mask.for_each_kept(r, [&](std::int64_t column) { row[column] = *next++; });
  });
}

}  // namespace

SparseMask nonzero_mask(const QuantizedMatrix& matrix) {
  return {matrix.rows, matrix.columns, [&](std::int64_t r, std::int64_t c) {
            return matrix.codes[static_cast<std::size_t>(r * matrix.columns + c)] !=
                   zero_of(matrix, r, c);
          }};
}

std::int64_t packed_words(const SparseMask& mask, int bits) {
  return word_offsets(mask, bits).back();
}

std::vector<NamedTensor> pack_sparse_quantized(const std::string& module_name,
                                               const QuantizedMatrix& matrix, SparseMask mask,
                                               SparseLayout layout) {
  check_quantized(module_name, matrix);
  if (layout == SparseLayout::two_four) mask.pad_two_four();
  const int bits = matrix.scheme.bits;
  const std::vector<std::int64_t> begin = word_offsets(mask, bits);
  std::vector<std::uint32_t> packed(static_cast<std::size_t>(begin.back()));
  for_each_row(matrix.rows, [&](std::int64_t r) {
    std::vector<std::uint8_t> kept;
    mask.for_each_kept(r, [&](std::int64_t column) {
      kept.push_back(matrix.codes[static_cast<std::size_t>(r * matrix.columns + column)]);
    });
    pack_line_dense(kept.data(), 1, static_cast<std::int64_t>(kept.size()), bits,
                    packed.data() + begin[static_cast<std::size_t>(r)], 1);
  });
  QuantizedWriter writer(module_name, matrix);
  writer.add("weight_packed", int32_tensor(words_shape(mask, layout, bits, begin.back()), packed));
  writer.add("bitmask", mask.tensor());
  writer.add_scales();
  writer.add_packed_zeros();
  writer.add_group_index();
  writer.add_shape();
  writer.add_input_grid();
  return writer.take();
}

QuantizedMatrix unpack_sparse_quantized(const std::string& module_name,
                                        const QuantizationScheme& scheme, SparseLayout layout,
                                        const TensorLookup& lookup) {
  QuantizedReader reader(module_name, scheme, lookup);
  reader.read_shape();
  QuantizedMatrix& matrix = reader.matrix();
  const SparseMask mask =
      SparseMask::read(reader.name("bitmask"), reader.get("bitmask", {DType::u8}), matrix.rows,
                       matrix.columns, layout);
  const Tensor packed = reader.get("weight_packed", {DType::i32});
  reader.check_shape("weight_packed", packed,
                     words_shape(mask, layout, scheme.bits, packed_words(mask, scheme.bits)));
  reader.read_scales();
  if (reader.has_packed_zeros()) {
    const Tensor zeros = reader.get("weight_zero_point", {DType::i32});
    reader.check_shape("weight_zero_point", zeros, reader.packed_zeros_shape(BitPacking::dense));
    reader.read_packed_zeros(zeros, BitPacking::dense);
  } else {
    reader.read_int8_zeros();
  }
  reader.read_group_index();
  read_codes(packed, mask, matrix);
  reader.read_input_grid();
  return std::move(matrix);
}

}  // namespace terse
