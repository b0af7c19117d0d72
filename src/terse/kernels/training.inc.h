// The operations of training_math.h.
#pragma once

#include "terse/kernels/math.inc.h"

namespace terse::kernels {
namespace {

inline Floats square_root(Floats x) {
#if defined(__AVX512F__)
  return _mm512_maskz_sqrt_ps(kAllLanes, x);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(x);
#else
  Floats result;
  for (int i = 0; i < kLanes; ++i) result[i] = __builtin_sqrtf(x[i]);
  return result;
#endif
}

void exp_shifted(float* x, float shift, std::int64_t size) {
  for_vectors(
      size, [&](std::int64_t i) { store(x + i, exponential(load(x + i) - shift)); },
      [&](std::int64_t i, std::int64_t count) {
        store_part(x + i, exponential(load_part(x + i, count, 0) - shift), count);
      });
}

/// Sum of x w dy, in double.
inline double sum_of_products(const float* x, const float* weight, const float* dy,
                              std::int64_t size) {
  Doubles lower{};
  Doubles upper{};
  const auto add_vector = [&](Floats terms) {
    float lanes[kLanes];
    store(lanes, terms);
    lower += load_doubles(lanes);
    upper += load_doubles(lanes + kLanes / 2);
  };
  for_vectors(
      size, [&](std::int64_t i) { add_vector(load(x + i) * load(weight + i) * load(dy + i)); },
      [&](std::int64_t i, std::int64_t count) {
        add_vector(load_part(x + i, count, 0) * load_part(weight + i, count, 0) *
                   load_part(dy + i, count, 0));
      });
  return total(lower) + total(upper);
}

/// With r = 1 / sqrt(mean(x^2) + eps): dx = r w dy - x r^3 mean(x w dy), dw += r x dy.
void rms_norm_backward(const float* x, const float* weight, const float* dy, float eps,
                       std::int64_t size, float* dx, float* dweight) {
  const double count = static_cast<double>(size);
  const float r = inverse_root(sum_of_squares(x, size, 0.0) / count, eps);
  const auto mean = static_cast<float>(sum_of_products(x, weight, dy, size) / count);
  const float slope = r * r * r * mean;
  for_vectors(
      size,
      [&](std::int64_t i) {
        const Floats value = load(x + i);
        const Floats scaled = r * load(dy + i);
        store(dx + i, scaled * load(weight + i) - value * slope);
        store(dweight + i, load(dweight + i) + scaled * value);
      },
      [&](std::int64_t i, std::int64_t rest) {
        const Floats value = load_part(x + i, rest, 0);
        const Floats scaled = r * load_part(dy + i, rest, 0);
        store_part(dx + i, scaled * load_part(weight + i, rest, 0) - value * slope, rest);
        store_part(dweight + i, load_part(dweight + i, rest, 0) + scaled * value, rest);
      });
}

/// With s = sigmoid(gate): dup = dy gate s, dgate = dy up s (1 + gate (1 - s)).
struct GatedSiluGradient {
  Floats gate;
  Floats up;

  GatedSiluGradient(Floats g, Floats u, Floats dy) {
    const Floats sigmoid = 1.0F / (1.0F + exponential(-g));
    up = dy * g * sigmoid;
    gate = dy * u * sigmoid * fma(g, 1.0F - sigmoid, splat(1.0F));
  }
};

void gated_silu_backward(const float* gate, const float* up, const float* dy, std::int64_t size,
                         float* dgate, float* dup) {
  for_vectors(
      size,
      [&](std::int64_t i) {
        const GatedSiluGradient gradient(load(gate + i), load(up + i), load(dy + i));
        store(dgate + i, gradient.gate);
        store(dup + i, gradient.up);
      },
      [&](std::int64_t i, std::int64_t count) {
        const GatedSiluGradient gradient(load_part(gate + i, count, 0), load_part(up + i, count, 0),
                                         load_part(dy + i, count, 0));
        store_part(dgate + i, gradient.gate, count);
        store_part(dup + i, gradient.up, count);
      });
}

void adamw_step(const AdamWStep& step, const float* grad, float* weight, float* m, float* v,
                std::int64_t size) {
  const auto update = [&step](Floats g, Floats& w, Floats& first, Floats& second) {
    g = g * step.grad_scale;
    first = fma(splat(step.beta1), first, (1.0F - step.beta1) * g);
    second = fma(splat(step.beta2), second, (1.0F - step.beta2) * g * g);
    const Floats root = square_root(second * step.correction2) + step.epsilon;
    w = w * step.decay - step.learning_rate * (first * step.correction1) / root;
  };
  for_vectors(
      size,
      [&](std::int64_t i) {
        Floats w = load(weight + i);
        Floats first = load(m + i);
        Floats second = load(v + i);
        update(load(grad + i), w, first, second);
        store(weight + i, w);
        store(m + i, first);
        store(v + i, second);
      },
      [&](std::int64_t i, std::int64_t count) {
        Floats w = load_part(weight + i, count, 0);
        Floats first = load_part(m + i, count, 0);
        Floats second = load_part(v + i, count, 0);
        update(load_part(grad + i, count, 0), w, first, second);
        store_part(weight + i, w, count);
        store_part(m + i, first, count);
        store_part(v + i, second, count);
      });
}

}  // namespace
}  // namespace terse::kernels
