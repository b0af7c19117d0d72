// Sums of products of unsigned codes with signed 8-bit inputs, in the lanes of 32 bits that hold
// four of each; as the instruction set can.
#pragma once

#include "terse/kernels/simd.inc.h"

#if defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

namespace terse::kernels {
namespace {

using Bytes = std::uint8_t __attribute__((vector_size(kLanes * 4)));
using LaneBytes = std::uint8_t __attribute__((vector_size(kLanes)));
using LaneCodes = std::int8_t __attribute__((vector_size(kLanes)));

inline Bytes load_bytes(const std::uint8_t* from) {
  Bytes value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

inline void store_bytes(std::uint8_t* to, Bytes value) {
  __builtin_memcpy(to, &value, sizeof value);
}

/// Codes of a byte each.
inline Ints load_codes(const std::uint8_t* from) {
  LaneBytes value;
  __builtin_memcpy(&value, from, sizeof value);
  return __builtin_convertvector(value, Ints);
}

inline Ints load(const std::int32_t* from) {
  Ints value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

inline void store(std::int32_t* to, Ints value) {
  __builtin_memcpy(to, &value, sizeof value);
}

inline void store_codes(std::int8_t* to, Ints value) {
  const LaneCodes codes = __builtin_convertvector(value, LaneCodes);
  __builtin_memcpy(to, &codes, sizeof codes);
}

inline Floats magnitude(Floats value) {
  return reinterpret_cast<Floats>(reinterpret_cast<Words>(value) & 0x7fffffffU);
}

/// To the nearest integer, ties to even; |value| below 2^22.
inline Ints rounded(Floats value) {
  const Floats magic = splat(0x1.8p23F);
  return reinterpret_cast<Ints>(value + magic) - reinterpret_cast<Ints>(magic);
}

inline std::int32_t load_quad(const std::int8_t* x) {
  std::int32_t value;
  __builtin_memcpy(&value, x, sizeof value);
  return value;
}

#if defined(__AVX512VNNI__)

struct StepInputs {
  explicit StepInputs(const std::int8_t* from) : x(from) {}
  __m512i cell(int c) const { return _mm512_set1_epi32(load_quad(x + 4 * c)); }
  const std::int8_t* x;
};

template <int Bits>
struct Dot {
  static constexpr int kOffset = 0;

  explicit Dot(const Bytes (&cells)[4]) : cells_(cells) {}

  Ints add(Ints sum, const StepInputs& x) const {
    TERSE_UNROLL for (int c = 0; c < 4; ++c) {
      sum = reinterpret_cast<Ints>(_mm512_dpbusd_epi32(
          reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(cells_[c]), x.cell(c)));
    }
    return sum;
  }

 private:
  const Bytes (&cells_)[4];
};

#elif defined(__AVX2__)

#if defined(__AVX512BW__)
using Register = __m512i;
inline Register splat_quad(const std::int8_t* x) {
  return _mm512_set1_epi32(load_quad(x));
}
inline Register multiply_pairs(Register codes, Register inputs) {
  return _mm512_maddubs_epi16(codes, inputs);
}
inline Register add_words(Register a, Register b) {
  return _mm512_add_epi16(a, b);
}
inline Register add_pairs(Register words) {
  return _mm512_madd_epi16(words, _mm512_set1_epi16(1));
}
inline Register with_sign(Register value, Register sign) {
  return _mm512_mask_sub_epi8(value, _mm512_movepi8_mask(sign), _mm512_setzero_si512(), value);
}
inline Register absolute(Register value) {
  return _mm512_maskz_abs_epi8(~__mmask64{0}, value);
}
#else
using Register = __m256i;
inline Register splat_quad(const std::int8_t* x) {
  return _mm256_set1_epi32(load_quad(x));
}
inline Register multiply_pairs(Register codes, Register inputs) {
  return _mm256_maddubs_epi16(codes, inputs);
}
inline Register add_words(Register a, Register b) {
  return _mm256_add_epi16(a, b);
}
inline Register add_pairs(Register words) {
  return _mm256_madd_epi16(words, _mm256_set1_epi16(1));
}
inline Register with_sign(Register value, Register sign) {
  return _mm256_sign_epi8(value, sign);
}
inline Register absolute(Register value) {
  return _mm256_abs_epi8(value);
}
#endif

struct StepInputs {
  explicit StepInputs(const std::int8_t* from) : x(from) {}
  Register cell(int c) const { return splat_quad(x + 4 * c); }
  const std::int8_t* x;
};

/// Products are added by pairs into 16 bits: |code| * 127 * 2 each, of which as many fit as
/// kTogether says. Codes of 8 bits do not fit even alone; they are taken less 128, as magnitude
/// times input with the code's sign.
template <int Bits>
class Dot {
 public:
  static constexpr int kOffset = Bits == 8 ? 128 : 0;

  explicit Dot(const Bytes (&cells)[4]) {
    TERSE_UNROLL for (int c = 0; c < 4; ++c) {
      if constexpr (Bits == 8) {
        signed_[c] = reinterpret_cast<Register>(cells[c] ^ 0x80);
        codes_[c] = absolute(signed_[c]);
      } else {
        codes_[c] = reinterpret_cast<Register>(cells[c]);
      }
    }
  }

  Ints add(Ints sum, const StepInputs& x) const {
    TERSE_UNROLL for (int c = 0; c < 4; c += kTogether) {
      Register words = product(c, x);
      TERSE_UNROLL for (int i = c + 1; i < c + kTogether; ++i) {
        words = add_words(words, product(i, x));
      }
      sum += reinterpret_cast<Ints>(add_pairs(words));
    }
    return sum;
  }

 private:
  static constexpr int kTogether = Bits <= 5 ? 4 : Bits == 6 ? 2 : 1;

  Register product(int c, const StepInputs& x) const {
    const Register inputs = x.cell(c);
    if constexpr (Bits == 8) return multiply_pairs(codes_[c], with_sign(inputs, signed_[c]));
    return multiply_pairs(codes_[c], inputs);
  }

  Register codes_[4];
  Register signed_[4];
};

#elif defined(__ARM_FEATURE_DOTPROD)

struct StepInputs {
  explicit StepInputs(const std::int8_t* from) : x(vld1q_s8(from)) {}
  int8x16_t x;
};

/// The instruction takes signed codes: those of 8 bits less 128.
template <int Bits>
class Dot {
 public:
  static constexpr int kOffset = Bits == 8 ? 128 : 0;

  explicit Dot(const Bytes (&cells)[4]) {
    TERSE_UNROLL for (int c = 0; c < 4; ++c) {
      codes_[c] = reinterpret_cast<int8x16_t>(Bits == 8 ? cells[c] ^ 0x80 : cells[c]);
    }
  }

  Ints add(Ints sum, const StepInputs& inputs) const {
    int32x4_t all = reinterpret_cast<int32x4_t>(sum);
    all = vdotq_laneq_s32(all, codes_[0], inputs.x, 0);
    all = vdotq_laneq_s32(all, codes_[1], inputs.x, 1);
    all = vdotq_laneq_s32(all, codes_[2], inputs.x, 2);
    all = vdotq_laneq_s32(all, codes_[3], inputs.x, 3);
    return reinterpret_cast<Ints>(all);
  }

 private:
  int8x16_t codes_[4];
};

#else

struct StepInputs {
  explicit StepInputs(const std::int8_t* from) : x(from) {}
  const std::int8_t* x;
};

template <int Bits>
struct Dot {
  static constexpr int kOffset = 0;

  explicit Dot(const Bytes (&cells)[4]) : cells_(cells) {}

  Ints add(Ints sum, const StepInputs& inputs) const {
    TERSE_UNROLL for (int c = 0; c < 4; ++c) {
      const Words words = reinterpret_cast<Words>(cells_[c]);
      TERSE_UNROLL for (int j = 0; j < 4; ++j) {
        const Ints code = reinterpret_cast<Ints>((words >> (8 * j)) & 0xffU);
        sum += code * static_cast<std::int32_t>(inputs.x[4 * c + j]);
      }
    }
    return sum;
  }

 private:
  const Bytes (&cells_)[4];
};

#endif

}  // namespace
}  // namespace terse::kernels
