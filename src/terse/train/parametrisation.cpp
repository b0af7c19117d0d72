#include "terse/train/parametrisation.h"

#include "terse/train/tensors.h"

namespace terse::train {

torch::Tensor constant(const Matrix& matrix, const torch::Device& device) {
  return to_torch(matrix, device);
}

torch::Tensor trained(const Matrix& matrix, const torch::Device& device) {
  return to_torch(matrix, device).requires_grad_();
}

}  // namespace terse::train
