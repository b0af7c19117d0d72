// Between the program's matrices and libtorch's tensors.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>
#include <vector>

#include "terse/core/tensor.h"

namespace terse::train {

/// A copy, float32 [rows, columns] or [size], on the device.
torch::Tensor to_torch(const Matrix& matrix, const torch::Device& device);
torch::Tensor to_torch(const Vector& vector, const torch::Device& device);

/// Copies of a tensor of two dimensions and of one, of any floating type.
Matrix to_matrix(const torch::Tensor& tensor);
Vector to_vector(const torch::Tensor& tensor);

/// Copies of the elements of a tensor that holds integers from 0 to 255, of any type.
std::vector<std::uint8_t> to_bytes(const torch::Tensor& tensor);

/// Whether the fused functions of this room can take a tensor: float32, contiguous, in the memory
/// of the processor. Everything else goes through libtorch's own operations.
bool fusible(const torch::Tensor& tensor);

/// Gives libtorch as many threads as the program has, and makes each flush denormal numbers: it
/// does so on the calling thread alone, and they made a training step three times slower.
void prepare_threads();

}  // namespace terse::train
