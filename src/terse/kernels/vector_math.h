// Row operations of a transformer, single-threaded, on float32 rows of any alignment. Each value
// is computed in a way that does not depend on which rows are computed with it.
#pragma once

#include <cstdint>

namespace terse::kernels {

/// out = x / sqrt(mean(x^2) + eps) * weight. In place allowed.
void rms_norm(const float* x, const float* weight, float eps, std::int64_t size, float* out);

/// out = (x - mean) / sqrt(variance + eps) * weight + bias; bias may be null. In place allowed.
void layer_norm(const float* x, const float* weight, const float* bias, float eps,
                std::int64_t size, float* out);

/// x += y.
void add(float* x, const float* y, std::int64_t size);

/// Activations in place, and multiplied by `factor` where it is not null (gated MLP).
/// relu(x); gelu(x) = x Phi(x) (exact, error function); gelu_tanh(x) = its tanh approximation
/// ("gelu_new", "gelu_pytorch_tanh"); silu(x) = x sigmoid(x).
void relu(float* x, const float* factor, std::int64_t size);
void gelu(float* x, const float* factor, std::int64_t size);
void gelu_tanh(float* x, const float* factor, std::int64_t size);
void silu(float* x, const float* factor, std::int64_t size);

/// Rotary embedding in the half-split order on the first 2 * pairs values of a head: (x[i],
/// x[i + pairs]) is turned by the angle whose cosine and sine are given.
void rotate_half(float* x, const float* cosine, const float* sine, std::int64_t pairs);

/// Largest value, and log(sum(exp(x))) computed from it.
float max_value(const float* x, std::int64_t size);
double log_sum_exp(const float* x, std::int64_t size);

/// x = softmax(x), in place.
void softmax(float* x, std::int64_t size);

}  // namespace terse::kernels
