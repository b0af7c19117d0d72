// What the integer layouts have in common: the grids of a weight and of its inputs as tensors.
#pragma once

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/core/threads.h"
#include "terse/formats/bit_packing.h"
#include "terse/formats/quantized_matrix.h"

namespace terse {

/// Gives the tensor with a name; throws bad_input when there is none (Checkpoint::tensor).
using TensorLookup = std::function<Tensor(const std::string& name)>;

/// Calls body(r) for every row, on all threads, some rows at a time.
template <class Body>
void for_each_row(std::int64_t rows, const Body& body) {
  constexpr std::int64_t kTile = 64;
  parallel_tiles(rows, kTile, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t r = first; r < first + count; ++r) body(r);
  });
}

/// Errors: failed when the parts of `matrix` contradict its scheme, bad_input when its group size
/// does not divide its columns; each names the module.
void check_quantized(const std::string& module_name, const QuantizedMatrix& matrix);

Tensor int32_tensor(Shape shape, const std::vector<std::uint32_t>& words);

/// Collects the tensors of one module.
class QuantizedWriter {
 public:
  QuantizedWriter(const std::string& module_name, const QuantizedMatrix& matrix);

  void add(std::string_view part, Tensor tensor);
  /// weight_shape: int64 [2].
  void add_shape();
  /// weight_scale: scale_dtype [rows, groups], [1] per tensor.
  void add_scales();
  /// weight_zero_point where asymmetric: int32 [words(rows), groups], packed along the rows; per
  /// tensor int8 [1].
  void add_packed_zeros();
  /// weight_zero_point where asymmetric: int8 of the shape of the scales, less 2^(bits - 1).
  void add_int8_zeros();
  /// weight_g_idx with actorder group: int32 [columns].
  void add_group_index();
  /// input_scale: float32 [1], and input_zero_point: int8 [1] where asymmetric; static inputs only.
  void add_input_grid();

  std::vector<NamedTensor> take() { return std::move(tensors_); }

 private:
  const std::string& module_name_;
  const QuantizedMatrix& matrix_;
  std::vector<NamedTensor> tensors_;
};

/// Reads the tensors of one module into a matrix; every error is bad_input and names the tensor.
class QuantizedReader {
 public:
  QuantizedReader(const std::string& module_name, const QuantizationScheme& scheme,
                  const TensorLookup& lookup);

  QuantizedMatrix& matrix() { return matrix_; }
  const QuantizationScheme& scheme() const { return matrix_.scheme; }
  std::int64_t groups() const { return scheme().groups(matrix_.columns); }
  std::string name(std::string_view part) const;

  /// A tensor of one of these types.
  Tensor get(std::string_view part, std::initializer_list<DType> dtypes) const;
  void check_shape(std::string_view part, const Tensor& tensor, const Shape& expected) const;

  /// Sets rows and columns: below 2^31, and columns a multiple of the group size.
  void set_shape(std::string_view part, const std::vector<std::int64_t>& sizes);
  void read_shape();

  /// Whether zero points are packed along the rows in the layouts that pack them.
  bool has_packed_zeros() const {
    return !scheme().symmetric && scheme().strategy != QuantizationStrategy::tensor;
  }
  Shape packed_zeros_shape(BitPacking packing) const;

  // What follows needs the shape. `read_…_zeros` need the scales; they set the middle where the
  // grid is symmetric.
  void read_scales();
  void read_packed_zeros(const Tensor& packed, BitPacking packing);
  void read_int8_zeros();
  void read_group_index();
  void read_input_grid();

 private:
  void set_symmetric_zeros();

  const std::string& module_name_;
  const TensorLookup& lookup_;
  QuantizedMatrix matrix_;
};

/// Two sizes from a tensor of two integers, whatever its shape; int64 or int32.
/// Errors: bad_input naming the tensor.
std::vector<std::int64_t> read_two_sizes(const std::string& name, const Tensor& tensor);

}  // namespace terse
