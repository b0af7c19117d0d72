// Multiply-adds that read and write registers alone: what the processor can do at most.
#pragma once

#include "terse/kernels/dot.inc.h"

namespace terse::kernels {
namespace {

/// Sums that do not wait for one another. Beside them codes and inputs fit the registers.
#if defined(__x86_64__) && !defined(__AVX512F__)
constexpr int kByteSums = 4;
#else
constexpr int kByteSums = 12;
#endif
constexpr int kFloatSums = 12;

/// Keeps the compiler from knowing a value: what is made of it is made every time.
template <class Vector>
inline void forget(Vector& value) {
#if defined(__x86_64__)
  asm volatile("" : "+v"(value));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(value));
#else
  asm volatile("" : "+m"(value));
#endif
}

/// The fewest instructions that a product with codes of up to 5 bits takes.
std::int64_t multiply_bytes(std::int64_t rounds) {
  alignas(kStep)
      const std::int8_t inputs[kStep] = {1, -2, 3, -4, 5, -6, 7, -8, 8, -7, 6, -5, 4, -3, 2, -1};
  Bytes cells[4] = {};
  Ints sums[kByteSums] = {};
  for (std::int64_t round = 0; round < rounds; ++round) {
    TERSE_UNROLL for (int i = 0; i < kByteSums; ++i) {
      TERSE_UNROLL for (int c = 0; c < 4; ++c) forget(cells[c]);
      sums[i] = Dot<5>(cells).add(sums[i], inputs);
    }
  }
  TERSE_UNROLL for (int i = 0; i < kByteSums; ++i) forget(sums[i]);
  return rounds * kByteSums * kStep * kLanes;
}

std::int64_t multiply_floats(std::int64_t rounds) {
  Floats sums[kFloatSums] = {};
  Floats factor = splat(0.5F);
  forget(factor);
  for (std::int64_t round = 0; round < rounds; ++round) {
    TERSE_UNROLL for (int i = 0; i < kFloatSums; ++i) sums[i] = fma(sums[i], factor, factor);
  }
  TERSE_UNROLL for (int i = 0; i < kFloatSums; ++i) forget(sums[i]);
  return rounds * kFloatSums * kLanes;
}

}  // namespace
}  // namespace terse::kernels
