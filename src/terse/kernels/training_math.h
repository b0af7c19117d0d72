// Backward passes of row operations and the step of AdamW, single-threaded, on float32 of any
// alignment.
#pragma once

#include <cstdint>

namespace terse::kernels {

/// x = exp(x - shift), in place.
void exp_shifted(float* x, float shift, std::int64_t size);

/// Gradients of rms_norm (vector_math.h) for one row: writes dx, adds to dweight.
void rms_norm_backward(const float* x, const float* weight, const float* dy, float eps,
                       std::int64_t size, float* dx, float* dweight);

/// Gradients of silu(gate) * up.
void gated_silu_backward(const float* gate, const float* up, const float* dy, std::int64_t size,
                         float* dgate, float* dup);

/// What a step of AdamW depends on.
struct AdamWStep {
  float learning_rate;
  float decay;  ///< Factor of the weight before the step: 1 - learning_rate * weight_decay.
  float beta1;
  float beta2;
  float epsilon;
  float correction1;  ///< 1 / (1 - beta1^t)
  float correction2;  ///< 1 / (1 - beta2^t)
  float grad_scale;   ///< Factor of the gradients (clipping, accumulation).
};

/// One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2) on `size` weights with
/// their moments: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
/// w = decay w - lr (m c1) / (sqrt(v c2) + epsilon).
void adamw_step(const AdamWStep& step, const float* grad, float* weight, float* m, float* v,
                std::int64_t size);

}  // namespace terse::kernels
