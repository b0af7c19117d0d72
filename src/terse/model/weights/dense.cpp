#include "terse/model/weights/dense.h"

#include "terse/core/error.h"

namespace terse {
namespace {

Tensor stored(const Matrix& values, DType dtype, bool transposed) {
  const Matrix layout = transposed ? Matrix(values.transpose()) : values;
  return Tensor::from_matrix(dtype, layout);
}

}  // namespace

DenseWeight::DenseWeight(Tensor tensor, bool transposed)
    : tensor_(std::move(tensor)), transposed_(transposed) {
  const Shape& shape = tensor_.shape();
  if (shape.size() != 2 || !is_floating(tensor_.dtype())) {
    throw bad_input("expected a matrix of real numbers, found {} {}", dtype_name(tensor_.dtype()),
                    shape_text(shape));
  }
  rows_ = shape[transposed ? 1 : 0];
  columns_ = shape[transposed ? 0 : 1];
}

DenseWeight::DenseWeight(const Matrix& values, DType dtype, bool transposed)
    : DenseWeight(stored(values, dtype, transposed), transposed) {}

void DenseWeight::prepare() {
  if (panels_.rows() != 0) return;
  if (!all_finite(tensor_)) throw bad_input("holds NaN or infinity; the checkpoint is damaged");
  panels_ = kernels::Panels::pack(tensor_, transposed_);
}

void DenseWeight::multiply(const Matrix& x, Matrix& y) const {
  kernels::multiply(x.data(), x.cols(), x.rows(), panels_, y.data(), y.cols());
}

void DenseWeight::row(std::int64_t index, float* out) const {
  const auto size = static_cast<std::size_t>(columns_);
  const std::size_t stride = size * dtype_size(tensor_.dtype());
  convert_to_float(tensor_.dtype(),
                   tensor_.bytes().subspan(static_cast<std::size_t>(index) * stride, stride),
                   {out, size});
}

Matrix DenseWeight::dense() const {
  const Matrix layout = tensor_.to_matrix();
  return transposed_ ? Matrix(layout.transpose()) : layout;
}

std::vector<NamedTensor> DenseWeight::tensors(const std::string& module) const {
  return {{module + ".weight", tensor_}};
}

std::string DenseWeight::kind() const {
  return std::string(dtype_torch_name(tensor_.dtype()));
}

}  // namespace terse
