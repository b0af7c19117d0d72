// exp and the row operations of vector_math.h.
#pragma once

#include "terse/kernels/simd.inc.h"

namespace terse::kernels {
namespace {

/// 2^n for n in [-126, 127].
inline Floats power_of_two(Ints n) {
  return reinterpret_cast<Floats>((n + 127) << 23);
}

/// e^x to about one unit in the last place; 0 and infinity beyond the range of float, NaN for NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7 (remainder below
/// 6e-9), 2^n in two factors so that the ends of the range need no special case.
inline Floats exponential(Floats x) {
  x = x > 89.0F ? splat(89.0F) : x;
  x = x < -104.0F ? splat(-104.0F) : x;
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
  const Floats shift = splat(12582912.0F);
  const Floats shifted = fma(x, splat(1.44269504F), shift);
  const Floats whole = shifted - shift;
  const Ints n = reinterpret_cast<Ints>(shifted) - reinterpret_cast<Ints>(shift);
  Floats r = fma(whole, splat(-0.693145752F), x);  // ln 2 in two parts, the first of few bits
  r = fma(whole, splat(-1.42860677e-6F), r);
  Floats p = splat(1.0F / 5040);
  p = fma(p, r, splat(1.0F / 720));
  p = fma(p, r, splat(1.0F / 120));
  p = fma(p, r, splat(1.0F / 24));
  p = fma(p, r, splat(1.0F / 6));
  p = fma(p, r, splat(0.5F));
  p = fma(p, r * r, r) + 1.0F;
  const Ints half = n >> 1;
  return p * power_of_two(half) * power_of_two(n - half);
}

/// e^(-z^2) Q(1 / (1 + 0.3 z)) = erfc(z) for z >= 0, in the form of Abramowitz and Stegun 7.1.26;
/// Q interpolates at the Chebyshev nodes for z <= 9.5 with a relative error below 3e-8.
inline Floats complementary_error(Floats z) {
  const Floats t = 1.0F / fma(z, splat(0.3F), splat(1.0F));
  Floats q = splat(-0.1304928155F);
  q = fma(q, t, splat(0.4905715980F));
  q = fma(q, t, splat(-0.5233146560F));
  q = fma(q, t, splat(0.5612462017F));
  q = fma(q, t, splat(-0.1047121407F));
  q = fma(q, t, splat(0.2195671147F));
  q = fma(q, t, splat(0.1470454191F));
  q = fma(q, t, splat(0.1709141563F));
  q = fma(q, t, splat(0.1691751026F));
  return q * t * exponential(-z * z);
}

struct Relu {
  // NaN is not below 0 and stays.
  static Floats apply(Floats x) { return x < 0.0F ? Floats{} : x; }
};

struct Gelu {
  static Floats apply(Floats x) {
    const Floats magnitude = x < 0.0F ? -x : x;
    const Floats tail = 0.5F * complementary_error(magnitude * 0.707106781F);
    return x * (x < 0.0F ? tail : 1.0F - tail);
  }
};

struct Silu {
  static Floats apply(Floats x) { return x / (1.0F + exponential(-x)); }
};

struct GeluTanh {
  // 0.5 (1 + tanh(u)) = 1 / (1 + e^(-2u)) with u = sqrt(2 / pi) (x + 0.044715 x^3).
  static Floats apply(Floats x) {
    const Floats u = x * fma(x * x, splat(0.044715F), splat(1.0F));
    return x / (1.0F + exponential(u * -1.59576912F));
  }
};

/// Calls body(i) for every whole vector and then last(i, count) for what remains of `size`.
template <class Body, class Last>
inline void for_vectors(std::int64_t size, const Body& body, const Last& last) {
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) body(i);
  if (i < size) last(i, size - i);
}

/// A vector whose first `count` lanes come from memory and whose others are `fill`.
inline Floats load_part(const float* from, std::int64_t count, float fill) {
  float lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = i < count ? from[i] : fill;
  return load(lanes);
}

inline void store_part(float* to, Floats value, std::int64_t count) {
  float lanes[kLanes];
  store(lanes, value);
  for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i];
}

/// Sum in double over all values of f(lower or upper half of a vector).
template <class Term>
inline double sum_of(const float* x, std::int64_t size, float fill, const Term& term) {
  Doubles lower{};
  Doubles upper{};
  const auto add_vector = [&](Floats value) {
    const Floats terms = term(value);
    float lanes[kLanes];
    store(lanes, terms);
    lower += load_doubles(lanes);
    upper += load_doubles(lanes + kLanes / 2);
  };
  for_vectors(
      size, [&](std::int64_t i) { add_vector(load(x + i)); },
      [&](std::int64_t i, std::int64_t count) { add_vector(load_part(x + i, count, fill)); });
  return total(lower) + total(upper);
}

/// Sum of (x - mean)^2, in double.
inline double sum_of_squares(const float* x, std::int64_t size, double mean) {
  Doubles lower{};
  Doubles upper{};
  const auto add_halves = [&](const float* values) {
    const Doubles a = load_doubles(values) - mean;
    const Doubles b = load_doubles(values + kLanes / 2) - mean;
    lower += a * a;
    upper += b * b;
  };
  for_vectors(
      size, [&](std::int64_t i) { add_halves(x + i); },
      [&](std::int64_t i, std::int64_t count) {
        for (std::int64_t j = i; j < i + count; ++j) {
          const double difference = x[j] - mean;
          lower[0] += difference * difference;
        }
      });
  return total(lower) + total(upper);
}

/// out = (x - mean) * factor * weight + bias, without bias where it is null.
inline void scale_row(const float* x, const float* weight, const float* bias, float mean,
                      float factor, std::int64_t size, float* out) {
  const auto scaled = [&](Floats value, Floats w) { return (value - mean) * factor * w; };
  for_vectors(
      size,
      [&](std::int64_t i) {
        const Floats y = scaled(load(x + i), load(weight + i));
        store(out + i, bias == nullptr ? y : y + load(bias + i));
      },
      [&](std::int64_t i, std::int64_t count) {
        const Floats y = scaled(load_part(x + i, count, 0), load_part(weight + i, count, 0));
        store_part(out + i, bias == nullptr ? y : y + load_part(bias + i, count, 0), count);
      });
}

inline float inverse_root(double mean_square, float eps) {
  return static_cast<float>(1.0 / __builtin_sqrt(mean_square + static_cast<double>(eps)));
}

void rms_norm(const float* x, const float* weight, float eps, std::int64_t size, float* out) {
  const double mean_square = sum_of_squares(x, size, 0.0) / static_cast<double>(size);
  scale_row(x, weight, nullptr, 0.0F, inverse_root(mean_square, eps), size, out);
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps,
                std::int64_t size, float* out) {
  const double count = static_cast<double>(size);
  const double mean = sum_of(x, size, 0.0F, [](Floats value) { return value; }) / count;
  const double variance = sum_of_squares(x, size, mean) / count;
  scale_row(x, weight, bias, static_cast<float>(mean), inverse_root(variance, eps), size, out);
}

void add(float* x, const float* y, std::int64_t size) {
  for_vectors(
      size, [&](std::int64_t i) { store(x + i, load(x + i) + load(y + i)); },
      [&](std::int64_t i, std::int64_t count) {
        store_part(x + i, load_part(x + i, count, 0) + load_part(y + i, count, 0), count);
      });
}

template <class Activation>
void activate(float* x, const float* factor, std::int64_t size) {
  for_vectors(
      size,
      [&](std::int64_t i) {
        const Floats y = Activation::apply(load(x + i));
        store(x + i, factor == nullptr ? y : y * load(factor + i));
      },
      [&](std::int64_t i, std::int64_t count) {
        const Floats y = Activation::apply(load_part(x + i, count, 0));
        store_part(x + i, factor == nullptr ? y : y * load_part(factor + i, count, 0), count);
      });
}

void rotate_half(float* x, const float* cosine, const float* sine, std::int64_t pairs) {
  float* y = x + pairs;
  const auto turn = [](Floats& a, Floats& b, Floats c, Floats s) {
    const Floats turned = fma(a, c, -(b * s));
    b = fma(b, c, a * s);
    a = turned;
  };
  for_vectors(
      pairs,
      [&](std::int64_t i) {
        Floats a = load(x + i);
        Floats b = load(y + i);
        turn(a, b, load(cosine + i), load(sine + i));
        store(x + i, a);
        store(y + i, b);
      },
      [&](std::int64_t i, std::int64_t count) {
        Floats a = load_part(x + i, count, 0);
        Floats b = load_part(y + i, count, 0);
        turn(a, b, load_part(cosine + i, count, 0), load_part(sine + i, count, 0));
        store_part(x + i, a, count);
        store_part(y + i, b, count);
      });
}

float max_value(const float* x, std::int64_t size) {
  const float lowest = -__builtin_inff();
  Floats largest = splat(lowest);
  for_vectors(
      size, [&](std::int64_t i) { largest = larger(load(x + i), largest); },
      [&](std::int64_t i, std::int64_t count) {
        largest = larger(load_part(x + i, count, lowest), largest);
      });
  float result = lowest;
  for (int i = 0; i < kLanes; ++i) result = largest[i] > result ? largest[i] : result;
  return result;
}

/// Sum of e^(x - shift).
double sum_of_exp(const float* x, float shift, std::int64_t size) {
  return sum_of(x, size, -__builtin_inff(),
                [&](Floats value) { return exponential(value - shift); });
}

/// x = e^(x - largest x) for `size` values; returns their sum.
inline double exponentials(float* x, std::int64_t size) {
  const float largest = max_value(x, size);
  for_vectors(
      size, [&](std::int64_t i) { store(x + i, exponential(load(x + i) - largest)); },
      [&](std::int64_t i, std::int64_t count) {
        store_part(x + i, exponential(load_part(x + i, count, 0) - largest), count);
      });
  return sum_of(x, size, 0.0F, [](Floats value) { return value; });
}

void softmax(float* x, std::int64_t size) {
  const float factor = static_cast<float>(1.0 / exponentials(x, size));
  for_vectors(
      size, [&](std::int64_t i) { store(x + i, load(x + i) * factor); },
      [&](std::int64_t i, std::int64_t count) {
        store_part(x + i, load_part(x + i, count, 0) * factor, count);
      });
}

}  // namespace
}  // namespace terse::kernels
