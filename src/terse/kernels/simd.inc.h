// Vectors of float as wide as the instruction set of the including file. Everything that follows in
// the *.inc.h files is written once over this and compiled once per instruction set, hence the
// anonymous namespace, and no library header with inline code.
//
// Contraction of a * b + c is off in these files: a multiply-add is fused where `fma` says so and
// nowhere else, so that copies of an expression that the compiler makes agree in every bit.
#pragma once

#include <cstdint>

#include "terse/kernels/kernel_table.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__clang__)
#define TERSE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TERSE_UNROLL _Pragma("GCC unroll 64")
#endif

namespace terse::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
// Conversions by their masked names: the plain ones make GCC 12 warn of its own header.
constexpr __mmask16 kAllLanes = 0xffff;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

using Floats = float __attribute__((vector_size(kLanes * 4)));
using Ints = std::int32_t __attribute__((vector_size(kLanes * 4)));
using Words = std::uint32_t __attribute__((vector_size(kLanes * 4)));
using Doubles = double __attribute__((vector_size(kLanes * 4)));
using HalfFloats = float __attribute__((vector_size(kLanes * 2)));
using HalfWords = std::uint16_t __attribute__((vector_size(kLanes * 2)));

/// Elements of 16 bits; distinct types, so that an overload says how to widen them.
struct BFloat16 {
  std::uint16_t bits;
};
struct Float16 {
  std::uint16_t bits;
};

inline Floats splat(float value) {
  return value - Floats{};
}

inline Floats load(const float* from) {
  Floats value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

inline void store(float* to, Floats value) {
  __builtin_memcpy(to, &value, sizeof value);
}

inline HalfWords load_words(const void* from) {
  HalfWords value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

inline Floats fma(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

inline Words widen(HalfWords value) {
#if defined(__AVX512F__)
  return reinterpret_cast<Words>(
      _mm512_maskz_cvtepu16_epi32(kAllLanes, reinterpret_cast<__m256i>(value)));
#elif defined(__AVX2__)
  return reinterpret_cast<Words>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(value)));
#else
  return __builtin_convertvector(value, Words);
#endif
}

/// Bytes as numbers, one in each lane.
inline Ints load_bytes(const void* from) {
#if defined(__AVX512F__)
  __m128i bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return reinterpret_cast<Ints>(_mm512_maskz_cvtepu8_epi32(kAllLanes, bytes));
#elif defined(__AVX2__)
  return reinterpret_cast<Ints>(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(from))));
#else
  std::uint8_t bytes __attribute__((vector_size(kLanes)));
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, Ints);
#endif
}

inline Floats load(const BFloat16* from) {
  return reinterpret_cast<Floats>(widen(load_words(from)) << 16);
}

inline Floats load(const Float16* from) {
  const HalfWords bits = load_words(from);
#if defined(__AVX512F__)
  return _mm512_maskz_cvtph_ps(kAllLanes, reinterpret_cast<__m256i>(bits));
#elif defined(__AVX2__)
  return _mm256_cvtph_ps(reinterpret_cast<__m128i>(bits));
#else
  // Exponent and mantissa move into place with the exponent's bias raised by 112; the largest
  // exponent stands for infinity and NaN, exponent 0 for multiples of 2^-24.
  const Words wide = widen(bits);
  const Words sign = (wide & 0x8000U) << 16;
  const Words magnitude = wide & 0x7fffU;
  const Words normal = (magnitude << 13) + (112U << 23);
  const Words special = (magnitude << 13) | 0x7f800000U;
  const Floats tiny = __builtin_convertvector(reinterpret_cast<Ints>(magnitude), Floats) * 0x1p-24F;
  const Words number = magnitude >= 0x7c00U ? special : normal;
  return reinterpret_cast<Floats>((magnitude < 0x400U ? reinterpret_cast<Words>(tiny) : number) |
                                  sign);
#endif
}

inline Floats larger(Floats a, Floats b) {
  return a > b ? a : b;
}

/// The lower or upper half of the values at `from`, as double.
inline Doubles load_doubles(const float* from) {
  HalfFloats value;
  __builtin_memcpy(&value, from, sizeof value);
  return __builtin_convertvector(value, Doubles);
}

/// Sum of the lanes in a fixed order.
inline double total(Doubles value) {
  double sum = 0;
  for (int i = 0; i < kLanes / 2; ++i) sum += value[i];
  return sum;
}

}  // namespace
}  // namespace terse::kernels
