// Any bytes as the tensors of a compressed module: refused, or read the same again after they are
// written. The first byte says which layout and how many bits, the rest is a safetensors file with
// tensors "m.…".
#include <cstdlib>
#include <map>
#include <span>

#include "terse/core/error.h"
#include "terse/formats/compressed_tensors.h"
#include "terse/formats/safetensors.h"
#include "terse/formats/sparse_bitmask.h"
#include "terse/formats/sparse_packed.h"

namespace {

using namespace terse;

using Tensors = std::map<std::string, Tensor>;

Tensors read_tensors(std::span<const std::byte> file) {
  const SafetensorsHeader header = parse_safetensors_header(file);
  Tensors tensors;
  for (const SafetensorsEntry& entry : header.tensors) {
    const auto bytes =
        file.subspan(header.data_begin).subspan(entry.begin, entry.end - entry.begin);
    tensors[entry.name] = Tensor(entry.dtype, entry.shape, bytes, nullptr);
  }
  return tensors;
}

Tensors by_name(const std::vector<NamedTensor>& list) {
  Tensors tensors;
  for (const NamedTensor& tensor : list) tensors[tensor.name] = tensor.tensor;
  return tensors;
}

TensorLookup lookup_in(const Tensors& tensors) {
  return [&tensors](const std::string& name) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw bad_input("no tensor {}", name);
    return found->second;
  };
}

void check(bool holds) {
  if (!holds) std::abort();
}

QuantizationScheme scheme_of(unsigned choice) {
  using enum QuantizationStrategy;
  QuantizationScheme scheme;
  scheme.bits = 2 + static_cast<int>(choice % 7);
  scheme.symmetric = choice % 2 == 0;
  scheme.strategy = choice % 3 == 0 ? tensor : choice % 3 == 1 ? channel : group;
  scheme.group_size = 4;
  if (scheme.strategy == group && choice % 5 == 0) scheme.actorder = ActivationOrdering::group;
  if (choice % 4 == 1) scheme.activations = ActivationScheme{8, false, ActivationStrategy::tensor};
  return scheme;
}

void read_real(const Tensors& tensors, SparseLayout layout) {
  const SparseMatrix matrix = unpack_sparse("m", layout, lookup_in(tensors));
  const Tensor dense = matrix.dense();
  const Tensors again = by_name(pack_sparse("m", matrix));
  check(std::ranges::equal(unpack_sparse("m", layout, lookup_in(again)).dense().bytes(),
                           dense.bytes()));
  std::vector<float> row(static_cast<std::size_t>(dense.shape()[1]));
  for (std::int64_t r = 0; r < dense.shape()[0]; ++r) matrix.row(r, row.data());
}

template <class Read, class Write>
void read_integers(const Read& read, const Write& write) {
  const QuantizedMatrix matrix = read();
  const QuantizedMatrix again = write(matrix);
  check(again.codes == matrix.codes && again.zeros == matrix.zeros &&
        again.dense() == matrix.dense() && again.input_scale == matrix.input_scale &&
        again.input_zero == matrix.input_zero);
}

void read_module(unsigned choice, const Tensors& tensors) {
  const SparseLayout layout = choice % 2 == 0 ? SparseLayout::bitmap : SparseLayout::two_four;
  const QuantizationScheme scheme = scheme_of(choice / 4);
  const TensorLookup lookup = lookup_in(tensors);
  switch (choice % 4) {
    case 0:
    case 1:
      if (choice < 128) return read_real(tensors, layout);
      return read_integers([&] { return unpack_sparse_quantized("m", scheme, layout, lookup); },
                           [&](const QuantizedMatrix& matrix) {
                             const Tensors again = by_name(
                                 pack_sparse_quantized("m", matrix, nonzero_mask(matrix), layout));
                             return unpack_sparse_quantized("m", scheme, layout, lookup_in(again));
                           });
    case 2:
      return read_integers([&] { return load_int_quantized("m", scheme, lookup); },
                           [&](const QuantizedMatrix& matrix) {
                             const Tensors again = by_name(store_int_quantized("m", matrix));
                             return load_int_quantized("m", scheme, lookup_in(again));
                           });
    default:
      return read_integers([&] { return unpack_quantized("m", scheme, lookup); },
                           [&](const QuantizedMatrix& matrix) {
                             const Tensors again = by_name(pack_quantized("m", matrix));
                             return unpack_quantized("m", scheme, lookup_in(again));
                           });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    read_module(data[0], read_tensors(std::as_bytes(std::span(data + 1, size - 1))));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_input) std::abort();
  }
  return 0;
}
