#include "terse/train/tensors.h"

#include <omp.h>

#include <cstring>

#include "terse/core/threads.h"

namespace terse::train {
namespace {

torch::Tensor copy_of(const float* values, torch::IntArrayRef shape, const torch::Device& device) {
  torch::Tensor tensor = torch::empty(shape, torch::kFloat);
  std::memcpy(tensor.data_ptr<float>(), values,
              static_cast<std::size_t>(tensor.numel()) * sizeof(float));
  return tensor.to(device);
}

torch::Tensor on_processor(const torch::Tensor& tensor) {
  return tensor.detach().to(torch::kCPU, torch::kFloat).contiguous();
}

}  // namespace

torch::Tensor to_torch(const Matrix& matrix, const torch::Device& device) {
  return copy_of(matrix.data(), {matrix.rows(), matrix.cols()}, device);
}

torch::Tensor to_torch(const Vector& vector, const torch::Device& device) {
  return copy_of(vector.data(), {vector.size()}, device);
}

Matrix to_matrix(const torch::Tensor& tensor) {
  const torch::Tensor values = on_processor(tensor);
  return Eigen::Map<const Matrix>(values.data_ptr<float>(), values.size(0), values.size(1));
}

Vector to_vector(const torch::Tensor& tensor) {
  const torch::Tensor values = on_processor(tensor);
  return Eigen::Map<const Vector>(values.data_ptr<float>(), values.size(0));
}

std::vector<std::uint8_t> to_bytes(const torch::Tensor& tensor) {
  const torch::Tensor bytes = tensor.detach().to(torch::kCPU, torch::kByte).contiguous();
  const std::uint8_t* first = bytes.data_ptr<std::uint8_t>();
  return {first, first + bytes.numel()};
}

bool fusible(const torch::Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.scalar_type() == torch::kFloat &&
         tensor.is_contiguous();
}

void prepare_threads() {
  torch::set_num_threads(thread_count());
#pragma omp parallel num_threads(thread_count())
  flush_denormals();
}

}  // namespace terse::train
