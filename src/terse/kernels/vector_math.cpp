#include "terse/kernels/vector_math.h"

#include <cmath>

#include "terse/kernels/kernel_table.h"

namespace terse::kernels {

void rms_norm(const float* x, const float* weight, float eps, std::int64_t size, float* out) {
  kernel_table().rms_norm(x, weight, eps, size, out);
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps,
                std::int64_t size, float* out) {
  kernel_table().layer_norm(x, weight, bias, eps, size, out);
}

void add(float* x, const float* y, std::int64_t size) {
  kernel_table().add(x, y, size);
}

void relu(float* x, const float* factor, std::int64_t size) {
  kernel_table().relu(x, factor, size);
}

void gelu(float* x, const float* factor, std::int64_t size) {
  kernel_table().gelu(x, factor, size);
}

void gelu_tanh(float* x, const float* factor, std::int64_t size) {
  kernel_table().gelu_tanh(x, factor, size);
}

void silu(float* x, const float* factor, std::int64_t size) {
  kernel_table().silu(x, factor, size);
}

void rotate_half(float* x, const float* cosine, const float* sine, std::int64_t pairs) {
  kernel_table().rotate_half(x, cosine, sine, pairs);
}

float max_value(const float* x, std::int64_t size) {
  return kernel_table().max_value(x, size);
}

double log_sum_exp(const float* x, std::int64_t size) {
  const float largest = max_value(x, size);
  if (std::isinf(largest)) return largest;
  return static_cast<double>(largest) + std::log(kernel_table().sum_of_exp(x, largest, size));
}

void softmax(float* x, std::int64_t size) {
  kernel_table().softmax(x, size);
}

}  // namespace terse::kernels
