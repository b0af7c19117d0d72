// A tensor as it is stored: element type, shape and bytes, shared or mapped.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "terse/core/dtype.h"

namespace terse {

using Shape = std::vector<std::int64_t>;

/// Row-major float32 [rows, columns]: what the program computes with.
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXf;
using MatrixRef = Eigen::Ref<Matrix, 0, Eigen::OuterStride<>>;
using ConstMatrixRef = Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>;

/// Elements of a shape. Errors: bad_input when a dimension is negative or the product overflows.
std::int64_t element_count(const Shape& shape);

/// "[2, 3]".
std::string shape_text(const Shape& shape);

/// Immutable bytes with a type and a shape. Copies share the storage, which may be a mapped file:
/// nothing promises that the bytes are aligned for the type.
class Tensor {
 public:
  Tensor() = default;

  /// `owner` keeps `bytes` alive; their size must be that of the shape (checked: failed).
  Tensor(DType dtype, Shape shape, std::span<const std::byte> bytes,
         std::shared_ptr<const void> owner);

  /// Takes over `bytes`.
  static Tensor from_bytes(DType dtype, Shape shape, std::vector<std::byte> bytes);

  /// Stores float32 values as `dtype`, nearest even.
  static Tensor from_floats(DType dtype, Shape shape, std::span<const float> values);
  static Tensor from_matrix(DType dtype, const Matrix& values);
  static Tensor from_vector(DType dtype, const Vector& values);

  /// Copies values of a trivially copyable type whose size is that of `dtype`.
  template <class T>
  static Tensor from_values(DType dtype, Shape shape, std::span<const T> values) {
    const auto raw = std::as_bytes(values);
    return from_bytes(dtype, std::move(shape), {raw.begin(), raw.end()});
  }

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t elements() const { return element_count(shape_); }
  std::span<const std::byte> bytes() const { return bytes_; }

  /// All elements as float32.
  std::vector<float> to_floats() const;

  /// A tensor of two dimensions as float32 [shape[0], shape[1]]; of one as [1, shape[0]].
  Matrix to_matrix() const;

  /// All elements copied as T. Errors: failed if sizeof(T) is not that of the type.
  template <class T>
  std::vector<T> to_values() const {
    check_element_size(sizeof(T));
    std::vector<T> values(bytes_.size() / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), bytes_.data(), bytes_.size());
    return values;
  }

 private:
  void check_element_size(std::size_t size) const;

  DType dtype_ = DType::f32;
  Shape shape_;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
};

/// Whether no value is NaN or infinite.
bool all_finite(std::span<const float> values);
bool all_finite(const Tensor& tensor);

/// A tensor and the name under which a checkpoint holds it.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

}  // namespace terse
