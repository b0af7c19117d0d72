#include "terse/kernels/training_math.h"

#include "terse/kernels/kernel_table.h"

namespace terse::kernels {

void exp_shifted(float* x, float shift, std::int64_t size) {
  kernel_table().exp_shifted(x, shift, size);
}

void rms_norm_backward(const float* x, const float* weight, const float* dy, float eps,
                       std::int64_t size, float* dx, float* dweight) {
  kernel_table().rms_norm_backward(x, weight, dy, eps, size, dx, dweight);
}

void gated_silu_backward(const float* gate, const float* up, const float* dy, std::int64_t size,
                         float* dgate, float* dup) {
  kernel_table().gated_silu_backward(gate, up, dy, size, dgate, dup);
}

void adamw_step(const AdamWStep& step, const float* grad, float* weight, float* m, float* v,
                std::int64_t size) {
  kernel_table().adamw_step(step, grad, weight, m, v, size);
}

}  // namespace terse::kernels
