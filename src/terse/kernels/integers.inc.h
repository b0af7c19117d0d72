// Products of integer codes with 8-bit inputs. A register holds 4 columns of as many rows as it has
// lanes; sums of integers are exact, so that their order is free, and become float32 once a block.
#pragma once

#include "terse/kernels/dot.inc.h"
#include "terse/kernels/integer_panel.h"

namespace terse::kernels {
namespace {

constexpr int kCellBytes = 64;
constexpr int kRowVectors = 32 / kLanes;       // vectors of a panel
constexpr int kCellVectors = kRowVectors / 2;  // vectors of a cell

/// The codes of vector `v` in cell 2 c + h of a plane of `Width` bits, shifted to bit `To`.
template <int Width, int To>
inline Bytes plane_codes(const std::uint8_t* plane, int c, int v) {
  constexpr int kShared = 8 / Width;
  const int cell = 2 * c + v / kCellVectors;
  const int shift = cell % kShared * Width;
  const std::uint8_t* at = plane + cell / kShared * kCellBytes + v % kCellVectors * kLanes * 4;
  const Words words = load_as<Words>(at);
  if constexpr (Width == 8) return reinterpret_cast<Bytes>(words);
  constexpr std::uint32_t kMask = ((1U << Width) - 1) * 0x01010101U << To;
  return reinterpret_cast<Bytes>((shift >= To ? words >> (shift - To) : words << (To - shift)) &
                                 kMask);
}

/// The codes of `Cells` cells of columns for one vector of rows, of a step stored in `Bits` bits:
/// of all four, or of the first two of a half step, where every plane has half the cells.
template <int Bits, int Cells = 4>
struct StepCodes {
  static constexpr int kPlane = kCellBytes * Cells / 4;  // bytes of a bit of all codes
  static constexpr int kBytes = Bits * kPlane;

  StepCodes(const std::uint8_t* step, int v) {
    TERSE_UNROLL for (int c = 0; c < Cells; ++c) {
      if constexpr (Bits == 8) {
        cells[c] = plane_codes<8, 0>(step, c, v);
      } else {
        Bytes codes{};
        if constexpr ((Bits & 4) != 0) codes |= plane_codes<4, 0>(step, c, v);
        constexpr int kLow = Bits & 4;
        if constexpr ((Bits & 2) != 0) {
          codes |= plane_codes<2, kLow>(step + kLow * kPlane, c, v);
        }
        constexpr int kMiddle = Bits & 6;
        if constexpr ((Bits & 1) != 0) {
          codes |= plane_codes<1, kMiddle>(step + kMiddle * kPlane, c, v);
        }
        cells[c] = codes;
      }
    }
  }

  Bytes cells[Cells];
};

/// Returns their bytes.
template <class T>
inline std::int64_t load_scales(const std::uint8_t* from, Floats* scales) {
  const T* values = reinterpret_cast<const T*>(from);
  TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) scales[v] = load(values + v * kLanes);
  return 32 * sizeof(T);
}

/// Scales and zero points of a stored block.
struct BlockHeader {
  BlockHeader(const IntegerPanelFormat& format, const std::uint8_t* block) {
    codes = block;
    if (format.scales == Storage::bf16) {
      codes += load_scales<BFloat16>(block, scales);
    } else if (format.scales == Storage::f16) {
      codes += load_scales<Float16>(block, scales);
    } else {
      codes += load_scales<float>(block, scales);
    }
    if (!format.zeros) {
      const Ints middle = Ints{} + (1 << (format.bits - 1));
      TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) zeros[v] = middle;
      return;
    }
    TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) {
      zeros[v] = __builtin_convertvector(load_as<LaneBytes>(codes + v * kLanes), Ints);
    }
    codes += 32;
  }

  Floats scales[kRowVectors];
  Ints zeros[kRowVectors];
  const std::uint8_t* codes;
};

/// Where the sum of a block begins: at minus its zero point times the sum of the inputs, of which
/// `offset` is all that does not depend on the row of the weight.
template <bool kZeros>
inline Ints begin_sum(Ints zero, std::int32_t offset) {
  const Ints same = Ints{} + offset;
  return kZeros ? zero * same : same;
}

/// What one block adds to a vector of y.
inline Floats add_block(Floats y, Ints sum, Floats scale, float x_scale) {
  return fma(scale * splat(x_scale), __builtin_convertvector(sum, Floats), y);
}

/// Asks for a block that is needed soon.
inline void prefetch_block(const std::uint8_t* block, std::int64_t bytes) {
  constexpr int kDistance = 2048;
  for (std::int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(block + kDistance + at);
}

/// One row, straight from the stored codes.
template <int Bits, bool kZeros>
void multiply_stored_row(const IntegerTile& job) {
  const auto* w = reinterpret_cast<const std::uint8_t*>(job.w);
  const std::int8_t* x = job.x.codes;
  Floats y[kRowVectors] = {};
  for (std::int64_t b = 0; b < job.count; ++b, w += job.format.block_bytes) {
    prefetch_block(w, job.format.block_bytes);
    const BlockHeader header(job.format, w);
    Ints sums[kRowVectors];
    TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) {
      sums[v] = begin_sum<kZeros>(header.zeros[v] - Dot<Bits>::kOffset, job.x.offsets[b]);
    }
    const std::uint8_t* codes = header.codes;
    for (std::int64_t k = 0; k < job.format.block; k += kStep, codes += StepCodes<Bits>::kBytes) {
      TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) {
        const StepCodes<Bits> step(codes, v);
        sums[v] = Dot<Bits>(step.cells).add(sums[v], x + k);
      }
    }
    TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) {
      y[v] = add_block(y[v], sums[v], header.scales[v], job.x.scales[b]);
    }
    x += job.format.block;
  }
  TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) store(job.y + v * kLanes, y[v]);
}

template <int Bits>
void unpack_blocks(const IntegerPanelFormat& format, const std::uint8_t* w, std::int64_t count,
                   std::uint8_t* out) {
  for (std::int64_t b = 0; b < count; ++b, w += format.block_bytes) {
    const BlockHeader header(format, w);
    TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) {
      store_as(out + v * sizeof(Floats), header.scales[v]);
      store_as(out + kUnpackedZeros + v * sizeof(Ints), header.zeros[v]);
    }
    out += kUnpackedHeader;
    const std::uint8_t* codes = header.codes;
    for (std::int64_t k = 0; k < format.block; k += kStep) {
      TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) {
        const StepCodes<Bits> step(codes, v);
        TERSE_UNROLL for (int c = 0; c < 4; ++c) {
          store_as(out + (2 * c + v / kCellVectors) * kCellBytes + v % kCellVectors * kLanes * 4,
                   step.cells[c]);
        }
      }
      codes += StepCodes<Bits>::kBytes;
      out += 8 * kCellBytes;
    }
  }
}

/// Rows and their sums fill the registers, with room for the codes of a step.
constexpr int kIntegerRows = kLanes == 16 ? 8 : 4;

/// R rows by one vector of rows of the weight, whose codes are loaded once for all of them.
template <int R, int Bits, bool kZeros>
inline void multiply_unpacked_vector(const IntegerTile& job, int v) {
  const std::int64_t block_bytes = kUnpackedHeader + job.format.block * 32;
  const auto* w = reinterpret_cast<const std::uint8_t*>(job.w);
  Floats y[R];
  TERSE_UNROLL for (int r = 0; r < R; ++r) {
    y[r] = job.accumulate ? load(job.y + r * job.y_stride + v * kLanes) : Floats{};
  }
  for (std::int64_t b = 0; b < job.count; ++b, w += block_bytes) {
    const Ints zero = load_as<Ints>(w + kUnpackedZeros + v * sizeof(Ints));
    Ints sums[R];
    TERSE_UNROLL for (int r = 0; r < R; ++r) {
      sums[r] = begin_sum<kZeros>(zero - Dot<Bits>::kOffset, job.x.offsets[r * job.x.blocks + b]);
    }
    const std::uint8_t* codes = w + kUnpackedHeader;
    const std::int8_t* x = job.x.codes + b * job.format.block;
    for (std::int64_t k = 0; k < job.format.block; k += kStep, codes += 8 * kCellBytes) {
      const StepCodes<8> step(codes, v);
      const Dot<Bits> dot(step.cells);
      TERSE_UNROLL for (int r = 0; r < R; ++r) {
        sums[r] = dot.add(sums[r], x + r * job.x.stride + k);
      }
    }
    const Floats scale = load_as<Floats>(w + v * sizeof(Floats));
    TERSE_UNROLL for (int r = 0; r < R; ++r) {
      y[r] = add_block(y[r], sums[r], scale, job.x.scales[r * job.x.blocks + b]);
    }
  }
  TERSE_UNROLL for (int r = 0; r < R; ++r) store(job.y + r * job.y_stride + v * kLanes, y[r]);
}

template <int Bits, bool kZeros, int R = 1>
void multiply_unpacked_rows(const IntegerTile& job) {
  if (job.rows == R) {
    for (int v = 0; v < kRowVectors; ++v) multiply_unpacked_vector<R, Bits, kZeros>(job, v);
  } else if constexpr (R < kIntegerRows) {
    multiply_unpacked_rows<Bits, kZeros, R + 1>(job);
  }
}

/// Unpacked codes differ by how many products fit 16 bits: see Dot.
template <bool kZeros>
void multiply_unpacked_codes(const IntegerTile& job) {
  switch (job.format.bits) {
    case 8:
      return multiply_unpacked_rows<8, kZeros>(job);
    case 7:
      return multiply_unpacked_rows<7, kZeros>(job);
    case 6:
      return multiply_unpacked_rows<6, kZeros>(job);
    default:
      return multiply_unpacked_rows<5, kZeros>(job);
  }
}

void multiply_unpacked(const IntegerTile& job) {
  if (job.format.zeros) return multiply_unpacked_codes<true>(job);
  multiply_unpacked_codes<false>(job);
}

template <int Bits = 2>
void multiply_stored(const IntegerTile& job) {
  if (job.format.bits == Bits) {
    if (job.format.zeros) return multiply_stored_row<Bits, true>(job);
    multiply_stored_row<Bits, false>(job);
  } else if constexpr (Bits < 8) {
    multiply_stored<Bits + 1>(job);
  }
}

template <int Bits = 2>
void unpack(const IntegerPanelFormat& format, const void* w, std::int64_t count, void* out) {
  if (format.bits == Bits) {
    unpack_blocks<Bits>(format, static_cast<const std::uint8_t*>(w), count,
                        static_cast<std::uint8_t*>(out));
  } else if constexpr (Bits < 8) {
    unpack<Bits + 1>(format, w, count, out);
  }
}

/// Unpacked blocks as float32 by columns of 32 rows.
void unpacked_to_float(const IntegerPanelFormat& format, const void* unpacked, std::int64_t count,
                       float* out) {
  const auto* w = static_cast<const std::uint8_t*>(unpacked);
  for (std::int64_t b = 0; b < count; ++b, w += kUnpackedHeader + format.block * 32) {
    const std::uint8_t* codes = w + kUnpackedHeader;
    for (std::int64_t k = 0; k < format.block; k += kStep, codes += 8 * kCellBytes) {
      for (int v = 0; v < kRowVectors; ++v) {
        const StepCodes<8> step(codes, v);
        const Floats scale = load_as<Floats>(w + v * sizeof(Floats));
        const Ints zero = load_as<Ints>(w + kUnpackedZeros + v * sizeof(Ints));
        for (int c = 0; c < 4; ++c) {
          const Words words = reinterpret_cast<Words>(step.cells[c]);
          TERSE_UNROLL for (int j = 0; j < 4; ++j) {
            const Ints code = reinterpret_cast<Ints>((words >> (8 * j)) & 0xffU);
            store(out + (k + 4 * c + j) * 32 + v * kLanes,
                  scale * __builtin_convertvector(code - zero, Floats));
          }
        }
      }
    }
    out += format.block * 32;
  }
}

/// Rounds one block of inputs; `fixed` is its scale, or 0 for the least that fits all of it. A
/// value that is not finite makes the scale one too. Returns the sum of the codes.
inline std::int32_t quantize_block(const float* x, std::int64_t count, float fixed,
                                   std::int8_t* codes, float* scale) {
  Floats most{};
  Floats check{};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Floats value = load(x + i);
    most = larger(most, magnitude(value));
    check += value - value;
  }
  float largest = 0.0F;
  float wrong = 0.0F;
  for (int i = 0; i < kLanes; ++i) {
    largest = most[i] > largest ? most[i] : largest;
    wrong += check[i];
  }
  *scale = (fixed > 0.0F ? fixed : largest / kLargestInput) + wrong;
  const Floats inverse = splat(*scale > 0.0F ? 1.0F / *scale : 0.0F);
  const Floats limit = splat(static_cast<float>(kLargestInput));
  Ints total{};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    Floats value = load(x + i) * inverse;
    value = value > limit ? limit : value;
    value = value < -limit ? -limit : value;
    const Ints code = rounded(value);
    total += code;
    store_as(codes + i, __builtin_convertvector(code, LaneCodes));
  }
  std::int32_t all = 0;
  for (int i = 0; i < kLanes; ++i) all += total[i];
  return all;
}

/// Offsets are minus the sum of the codes, times the zero point where the weight has one for all.
void quantize_row(const float* x, std::int64_t blocks, const IntegerPanelFormat& format,
                  float fixed, std::int8_t* codes, float* scales, std::int32_t* offsets) {
  const int dot_offset = format.bits == 8 ? Dot<8>::kOffset : Dot<7>::kOffset;
  const int zero = format.zeros ? 1 : (1 << (format.bits - 1)) - dot_offset;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t at = b * format.block;
    offsets[b] = -zero * quantize_block(x + at, format.block, fixed, codes + at, scales + b);
  }
}

}  // namespace
}  // namespace terse::kernels
