// Sums of products of unsigned codes with signed 8-bit inputs, in the lanes of 32 bits that hold
// four of each; as the instruction set can.
#pragma once

#include "terse/kernels/simd.inc.h"

namespace terse::kernels {
namespace {

using Bytes = std::uint8_t __attribute__((vector_size(kLanes * 4)));
using LaneBytes = std::uint8_t __attribute__((vector_size(kLanes)));
using LaneCodes = std::int8_t __attribute__((vector_size(kLanes)));

template <class T>
inline T load_as(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
inline void store_as(void* to, T value) {
  __builtin_memcpy(to, &value, sizeof value);
}

inline Floats magnitude(Floats value) {
  return reinterpret_cast<Floats>(reinterpret_cast<Words>(value) & 0x7fffffffU);
}

/// To the nearest integer, ties to even; |value| below 2^22.
inline Ints rounded(Floats value) {
  const Floats magic = splat(0x1.8p23F);
  return reinterpret_cast<Ints>(value + magic) - reinterpret_cast<Ints>(magic);
}

/// Four inputs in every lane.
inline Ints splat_inputs(const std::int8_t* x) {
  return Ints{} + load_as<std::int32_t>(x);
}

#if defined(__AVX2__) && !defined(__AVX512VNNI__)

using Shorts = std::int16_t __attribute__((vector_size(kLanes * 4)));

#if defined(__AVX512BW__)
using Register = __m512i;
inline Register multiply_pairs(Register codes, Register inputs) {
  return _mm512_maddubs_epi16(codes, inputs);
}
inline Register add_pairs(Register words) {
  return _mm512_madd_epi16(words, _mm512_set1_epi16(1));
}
inline Register with_sign(Register value, Register sign) {
  return _mm512_mask_sub_epi8(value, _mm512_movepi8_mask(sign), _mm512_setzero_si512(), value);
}
inline Register magnitude(Register value) {
  return _mm512_maskz_abs_epi8(~__mmask64{0}, value);
}
#else
using Register = __m256i;
inline Register multiply_pairs(Register codes, Register inputs) {
  return _mm256_maddubs_epi16(codes, inputs);
}
inline Register add_pairs(Register words) {
  return _mm256_madd_epi16(words, _mm256_set1_epi16(1));
}
inline Register with_sign(Register value, Register sign) {
  return _mm256_sign_epi8(value, sign);
}
inline Register magnitude(Register value) {
  return _mm256_abs_epi8(value);
}
#endif

/// Four cells of codes by 16 inputs. Products are added by pairs into 16 bits: |code| * 127 * 2
/// each, of which as many fit as kTogether says. Codes of 8 bits do not fit even alone; they are
/// taken less 128, as magnitude times input with the code's sign.
template <int Bits>
class Dot {
 public:
  static constexpr int kOffset = Bits == 8 ? 128 : 0;

  explicit Dot(const Bytes (&cells)[4]) {
    TERSE_UNROLL for (int c = 0; c < 4; ++c) {
      codes_[c] = reinterpret_cast<Register>(cells[c]);
      if constexpr (Bits == 8) {
        signed_[c] = reinterpret_cast<Register>(cells[c] ^ 0x80);
        codes_[c] = magnitude(signed_[c]);
      }
    }
  }

  Ints add(Ints sum, const std::int8_t* x) const {
    TERSE_UNROLL for (int c = 0; c < 4; c += kTogether) {
      Shorts words = product(c, x);
      TERSE_UNROLL for (int i = c + 1; i < c + kTogether; ++i) words += product(i, x);
      sum += reinterpret_cast<Ints>(add_pairs(reinterpret_cast<Register>(words)));
    }
    return sum;
  }

 private:
  static constexpr int kTogether = Bits <= 5 ? 4 : Bits == 6 ? 2 : 1;

  Shorts product(int c, const std::int8_t* x) const {
    auto inputs = reinterpret_cast<Register>(splat_inputs(x + 4 * c));
    if constexpr (Bits == 8) inputs = with_sign(inputs, signed_[c]);
    return reinterpret_cast<Shorts>(multiply_pairs(codes_[c], inputs));
  }

  Register codes_[4];
  Register signed_[4];
};

/// Adds the products of codes less their zero points, both of at most 4 bits, with inputs of their
/// own.
template <int Cells>
inline Ints add_differences(Ints sum, const Bytes (&codes)[Cells], Bytes zeros,
                            const Bytes (&inputs)[Cells]) {
  Shorts words{};
  TERSE_UNROLL for (int c = 0; c < Cells; ++c) {
    const auto x = reinterpret_cast<Register>(inputs[c]);
    words += reinterpret_cast<Shorts>(multiply_pairs(reinterpret_cast<Register>(codes[c]), x));
    words -= reinterpret_cast<Shorts>(multiply_pairs(reinterpret_cast<Register>(zeros), x));
  }
  return sum + reinterpret_cast<Ints>(add_pairs(reinterpret_cast<Register>(words)));
}

#elif defined(__ARM_FEATURE_DOTPROD)

/// Four cells of codes by 16 inputs; both are signed, so codes of 8 bits are taken less 128.
template <int Bits>
class Dot {
 public:
  static constexpr int kOffset = Bits == 8 ? 128 : 0;

  explicit Dot(const Bytes (&cells)[4]) {
    TERSE_UNROLL for (int c = 0; c < 4; ++c) {
      codes_[c] = reinterpret_cast<int8x16_t>(Bits == 8 ? cells[c] ^ 0x80 : cells[c]);
    }
  }

  Ints add(Ints sum, const std::int8_t* x) const {
    const auto inputs = load_as<int8x16_t>(x);
    sum = vdotq_laneq_s32(sum, codes_[0], inputs, 0);
    sum = vdotq_laneq_s32(sum, codes_[1], inputs, 1);
    sum = vdotq_laneq_s32(sum, codes_[2], inputs, 2);
    return vdotq_laneq_s32(sum, codes_[3], inputs, 3);
  }

 private:
  int8x16_t codes_[4];
};

/// Adds the products of codes less their zero points with inputs of their own.
template <int Cells>
inline Ints add_differences(Ints sum, const Bytes (&codes)[Cells], Bytes zeros,
                            const Bytes (&inputs)[Cells]) {
  TERSE_UNROLL for (int c = 0; c < Cells; ++c) {
    sum = vdotq_s32(sum, reinterpret_cast<int8x16_t>(codes[c] - zeros),
                    reinterpret_cast<int8x16_t>(inputs[c]));
  }
  return sum;
}

#else

/// Adds the four products of every lane.
inline Ints add_products(Ints sum, Bytes codes, Ints inputs) {
#if defined(__AVX512VNNI__)
  return reinterpret_cast<Ints>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum),
                                                    reinterpret_cast<__m512i>(codes),
                                                    reinterpret_cast<__m512i>(inputs)));
#else
  const Words words = reinterpret_cast<Words>(codes);
  TERSE_UNROLL for (int j = 0; j < 4; ++j) {
    const Ints code = reinterpret_cast<Ints>((words >> (8 * j)) & 0xffU);
    sum += code * (inputs << (24 - 8 * j) >> 24);
  }
  return sum;
#endif
}

/// Four cells of codes by 16 inputs.
template <int Bits>
class Dot {
 public:
  static constexpr int kOffset = 0;

  explicit Dot(const Bytes (&cells)[4]) : cells_(cells) {}

  Ints add(Ints sum, const std::int8_t* x) const {
    TERSE_UNROLL for (int c = 0; c < 4; ++c) {
      sum = add_products(sum, cells_[c], splat_inputs(x + 4 * c));
    }
    return sum;
  }

 private:
  const Bytes (&cells_)[4];
};

/// Adds the products of codes less their zero points with inputs of their own.
template <int Cells>
inline Ints add_differences(Ints sum, const Bytes (&codes)[Cells], Bytes zeros,
                            const Bytes (&inputs)[Cells]) {
  Ints less{};
  TERSE_UNROLL for (int c = 0; c < Cells; ++c) {
    sum = add_products(sum, codes[c], reinterpret_cast<Ints>(inputs[c]));
    less = add_products(less, zeros, reinterpret_cast<Ints>(inputs[c]));
  }
  return sum - less;
}

#endif

}  // namespace
}  // namespace terse::kernels
