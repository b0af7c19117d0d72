// Products of slots of sparse codes (slot_panel.h) with 8-bit inputs. The index of a slot selects
// its input from 16 that lie in a register; what is left is the product of integers.inc.h.
#pragma once

#include "terse/kernels/integers.inc.h"
#include "terse/kernels/slot_panel.h"

namespace terse::kernels {
namespace {

/// Sixteen bytes, in every 128 bits of a register.
inline Bytes load_table(const void* from) {
#if defined(__AVX512F__)
  return reinterpret_cast<Bytes>(_mm512_maskz_broadcast_i32x4(kAllLanes, load_as<__m128i>(from)));
#elif defined(__AVX2__)
  return reinterpret_cast<Bytes>(_mm256_broadcastsi128_si256(load_as<__m128i>(from)));
#else
  return load_as<Bytes>(from);
#endif
}

/// Byte i of the result is the byte of the table that byte i of `index`, below 16, says.
inline Bytes select(Bytes table, Bytes index) {
#if defined(__AVX512BW__)
  return reinterpret_cast<Bytes>(
      _mm512_shuffle_epi8(reinterpret_cast<__m512i>(table), reinterpret_cast<__m512i>(index)));
#elif defined(__AVX2__)
  return reinterpret_cast<Bytes>(
      _mm256_shuffle_epi8(reinterpret_cast<__m256i>(table), reinterpret_cast<__m256i>(index)));
#else
  Bytes selected;
  for (unsigned i = 0; i < sizeof selected; ++i) selected[i] = table[index[i]];
  return selected;
#endif
}

/// The 2-bit indices of one cell by itself, for one vector of rows: 32 bytes, of which those of
/// rows 0 to 7 have the lowest bits, those of rows 8 to 15 the next.
inline Bytes lone_indices(const std::uint8_t* plane, int v) {
  Words counts{};
  Words words;
  if constexpr (kLanes == 16) {
    __builtin_memcpy(&words, plane, 32);
    __builtin_memcpy(reinterpret_cast<std::uint8_t*>(&words) + 32, plane, 32);
    for (int i = 0; i < kLanes; ++i) counts[i] = static_cast<std::uint32_t>(4 * v + i / 8 * 2);
  } else {
    words = load_as<Words>(plane + v * kLanes % 8 * 4);
    counts += static_cast<std::uint32_t>(v * kLanes / 8 * 2);
  }
  return reinterpret_cast<Bytes>(words >> counts & 0x03030303U);
}

/// Codes and indices of `Cells` cells for one vector of rows.
template <int Bits, int IndexBits, int Cells>
struct SlotStep {
  static constexpr int kValueBytes = Bits * kCellBytes * Cells / 4;
  static constexpr int kBytes = (Bits + IndexBits) * kCellBytes * Cells / 4;

  SlotStep(const std::uint8_t* step, int v) : codes(step, v), places(step + kValueBytes, v) {
    constexpr std::uint32_t kParts =
        kSlotParts[IndexBits - 2][0] | kSlotParts[IndexBits - 2][1] << 8 |
        kSlotParts[IndexBits - 2][2] << 16 | std::uint32_t{kSlotParts[IndexBits - 2][3]} << 24;
    if constexpr (Cells == 1) places.cells[0] = lone_indices(step + kValueBytes, v);
    TERSE_UNROLL for (int c = 0; c < Cells; ++c) {
      places.cells[c] += reinterpret_cast<Bytes>(Words{} + kParts);
    }
  }

  StepCodes<Bits, Cells> codes;
  StepCodes<IndexBits, Cells> places;
};

/// The zero points of rows in each byte of their lanes.
inline Bytes zero_bytes(Ints zeros) {
  return reinterpret_cast<Bytes>(reinterpret_cast<Words>(zeros) * 0x01010101U);
}

template <bool kZeros>
inline std::int32_t zero_of(const IntegerPanelFormat& format, const std::uint8_t* zeros,
                            std::int64_t row) {
  return kZeros ? zeros[row] : 1 << (format.bits - 1);
}

/// Where the zero points of a stored block are.
inline const std::uint8_t* stored_zeros(const IntegerPanelFormat& format,
                                        const std::uint8_t* block) {
  return block + 32 * (format.scales == Storage::f32 ? 4 : 2);
}

/// The part of a block's sums that its extras make.
template <bool kZeros>
inline void sum_extras(const SlotTile& job, const std::uint8_t* w, std::int64_t b,
                       std::int32_t* sums) {
  TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) store_as(sums + v * kLanes, Ints{});
  const std::uint8_t* zeros = stored_zeros(job.format, w);
  const std::int8_t* x = job.x.codes + b * job.format.block;
  const SlotExtra* end = job.extras + job.begins[b + 1];
  for (const SlotExtra* at = job.extras + job.begins[b]; at != end; ++at) {
    const std::uint32_t extra = *at;
    const std::uint32_t row = extra & 31U;
    const std::uint32_t column = (extra >> kExtraColumn) & 127U;
    const auto code = static_cast<std::int32_t>(extra >> kExtraCode);
    sums[row] += (code - zero_of<kZeros>(job.format, zeros, row)) * x[column];
  }
}

template <int Bits, int IndexBits, int Cells>
inline void add_slots(const std::uint8_t* step, const std::int8_t* tables, const Bytes* zeros,
                      Ints* sums) {
  constexpr int kDistance = 4096;
  TERSE_UNROLL for (int i = 0; i < SlotStep<Bits, IndexBits, Cells>::kBytes; i += kCellBytes) {
    __builtin_prefetch(step + kDistance + i);
  }
  TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) {
    const SlotStep<Bits, IndexBits, Cells> slots(step, v);
    Bytes inputs[Cells];
    TERSE_UNROLL for (int c = 0; c < Cells; ++c) {
      inputs[c] = select(load_table(tables + c * kSlotTable), slots.places.cells[c]);
    }
    sums[v] = add_differences(sums[v], slots.codes.cells, zeros[v], inputs);
  }
}

template <int Bits, int IndexBits, bool kZeros>
void multiply_slots_row(const SlotTile& job) {
  using Step = SlotStep<Bits, IndexBits, 4>;
  const auto* w = reinterpret_cast<const std::uint8_t*>(job.w);
  const std::int8_t* tables = job.tables;
  const std::int64_t steps = job.slots.slots / kStep;
  // Extras are summed a block ahead: vectors that are loaded right after parts of them were stored
  // wait for the stores.
  const bool listed = job.begins[job.count] != job.begins[0];
  std::int32_t ahead[2][32];
  if (listed) sum_extras<kZeros>(job, w, 0, ahead[0]);
  Floats y[kRowVectors] = {};
  for (std::int64_t b = 0; b < job.count; ++b, w += job.format.block_bytes) {
    if (listed && b + 1 < job.count) {
      sum_extras<kZeros>(job, w + job.format.block_bytes, b + 1, ahead[(b + 1) % 2]);
    }
    const BlockHeader header(job.format, w);
    Ints sums[kRowVectors];
    Bytes zeros[kRowVectors];
    TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) {
      sums[v] = listed ? load_as<Ints>(ahead[b % 2] + v * kLanes) : Ints{};
      zeros[v] = kZeros ? zero_bytes(header.zeros[v]) : Bytes{} + std::uint8_t{1 << (Bits - 1)};
    }
    const std::uint8_t* codes = header.codes;
    for (std::int64_t s = 0; s < steps; ++s, codes += Step::kBytes, tables += 4 * kSlotTable) {
      add_slots<Bits, IndexBits, 4>(codes, tables, zeros, sums);
    }
    if constexpr (Bits % 2 == 0 && IndexBits == 2) {
      if ((job.slots.slots & 8) != 0) {
        add_slots<Bits, IndexBits, 2>(codes, tables, zeros, sums);
        codes += Step::kBytes / 2;
        tables += 2 * kSlotTable;
      }
    }
    if constexpr (Bits == 4 && IndexBits == 2) {
      if ((job.slots.slots & 4) != 0) {
        add_slots<Bits, IndexBits, 1>(codes, tables, zeros, sums);
        tables += kSlotTable;
      }
    }
    TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) {
      y[v] = add_block(y[v], sums[v], header.scales[v], job.x.scales[b]);
    }
  }
  TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) store(job.y + v * kLanes, y[v]);
}

template <int Bits, int IndexBits>
void multiply_slots_of(const SlotTile& job) {
  if (job.format.zeros) return multiply_slots_row<Bits, IndexBits, true>(job);
  multiply_slots_row<Bits, IndexBits, false>(job);
}

template <int Bits = 2>
void multiply_slots(const SlotTile& job) {
  if (job.format.bits == Bits) {
    if (job.slots.index_bits == 2) return multiply_slots_of<Bits, 2>(job);
    multiply_slots_of<Bits, 3>(job);
  } else if constexpr (Bits < 4) {
    multiply_slots<Bits + 1>(job);
  }
}

/// Where the code of a column of a row is among unpacked ones.
inline std::int64_t unpacked_place(std::int64_t row, std::int64_t column) {
  return (column / 4 * 2 + row / 16) * kCellBytes + row % 16 * 4 + column % 4;
}

/// Each lane to the left by its own count, which may be any number: nothing is left from 32 on.
inline Words shift_left(Words value, Words count) {
#if defined(__AVX512F__)
  return reinterpret_cast<Words>(_mm512_maskz_sllv_epi32(
      kAllLanes, reinterpret_cast<__m512i>(value), reinterpret_cast<__m512i>(count)));
#elif defined(__AVX2__)
  return reinterpret_cast<Words>(
      _mm256_sllv_epi32(reinterpret_cast<__m256i>(value), reinterpret_cast<__m256i>(count)));
#else
  return (value << (count & 31U)) & reinterpret_cast<Words>(count < 32U);
#endif
}

inline void add_bytes(std::uint8_t* to, Words bytes) {
  store_as(to, load_as<Bytes>(to) + reinterpret_cast<Bytes>(bytes));
}

/// Adds four bytes of each row to the codes of four columns, of which the first is the first of
/// four neighbours, the second the second of others, ...
inline void add_columns(Words bytes, const std::uint8_t* columns, int v, std::uint8_t* out) {
  if (columns[3] == columns[0] + 3) {
    return add_bytes(out + unpacked_place(v * kLanes, columns[0]), bytes);
  }
  TERSE_UNROLL for (int i = 0; i < 4; ++i) {
    add_bytes(out + unpacked_place(v * kLanes, columns[i] / 4 * 4), bytes & (0xffU << (8 * i)));
  }
}

/// Adds the codes of a step, less their zero points, to those of their columns.
template <int Bits, int IndexBits, int Cells>
inline void scatter_slots(const std::uint8_t* step, const std::uint8_t* columns, const Ints* zeros,
                          std::uint8_t* out) {
  constexpr const std::uint8_t(&kParts)[4] = kSlotParts[IndexBits - 2];
  for (int v = 0; v < kRowVectors; ++v) {
    const SlotStep<Bits, IndexBits, Cells> slots(step, v);
    for (int c = 0; c < Cells; ++c) {
      const Words codes = reinterpret_cast<Words>(slots.codes.cells[c] - zero_bytes(zeros[v]));
      const Words shifts = reinterpret_cast<Words>(slots.places.cells[c]) << 3;
      Words quads[4] = {};  // of the 16 columns of the table
      TERSE_UNROLL for (int j = 0; j < 4; ++j) {
        const Words code = (codes >> (8 * j)) & 0xffU;
        const Words shift = (shifts >> (8 * j)) & 0xffU;
        const int first = kParts[j] / 4;
        const int last = (kParts[j] + (1 << IndexBits) - 1) / 4;
        TERSE_UNROLL for (int q = 0; q < 4; ++q) {
          if (q < first || q > last) continue;
          quads[q] |= shift_left(code, shift - 32U * static_cast<unsigned>(q));
        }
      }
      TERSE_UNROLL for (int q = 0; q < 4; ++q) {
        add_columns(quads[q], columns + c * kSlotTable + 4 * q, v, out);
      }
    }
  }
}

template <int Bits, int IndexBits>
void unpack_slots_of(const SlotBlocks& job, std::uint8_t* out) {
  using Step = SlotStep<Bits, IndexBits, 4>;
  const auto* w = reinterpret_cast<const std::uint8_t*>(job.w);
  for (std::int64_t b = 0; b < job.count; ++b, w += job.format.block_bytes) {
    const BlockHeader header(job.format, w);
    std::uint8_t* out_codes = out + kUnpackedHeader;
    TERSE_UNROLL for (int v = 0; v < kRowVectors; ++v) {
      store_as(out + v * sizeof(Floats), header.scales[v]);
      store_as(out + kUnpackedZeros + v * sizeof(Ints), header.zeros[v]);
      const Bytes zeros = zero_bytes(header.zeros[v]);
      for (std::int64_t c = 0; c < job.format.block; c += 4) {
        store_as(out_codes + unpacked_place(v * kLanes, c), zeros);
      }
    }
    const std::uint8_t* codes = header.codes;
    std::int64_t slot = 0;
    for (; slot + kStep <= job.slots.slots; slot += kStep, codes += Step::kBytes) {
      scatter_slots<Bits, IndexBits, 4>(codes, job.columns + 4 * slot, header.zeros, out_codes);
    }
    if constexpr (Bits % 2 == 0 && IndexBits == 2) {
      if ((job.slots.slots & 8) != 0) {
        scatter_slots<Bits, IndexBits, 2>(codes, job.columns + 4 * slot, header.zeros, out_codes);
        codes += Step::kBytes / 2;
        slot += 8;
      }
    }
    if constexpr (Bits == 4 && IndexBits == 2) {
      if ((job.slots.slots & 4) != 0) {
        scatter_slots<Bits, IndexBits, 1>(codes, job.columns + 4 * slot, header.zeros, out_codes);
      }
    }
    for (std::uint32_t i = job.begins[b]; i < job.begins[b + 1]; ++i) {
      const unsigned extra = job.extras[i];
      out_codes[unpacked_place(extra & 31U, (extra >> kExtraColumn) & 127U)] =
          static_cast<std::uint8_t>(extra >> kExtraCode);
    }
    out += kUnpackedHeader + job.format.block * 32;
  }
}

template <int Bits = 2>
void unpack_slots(const SlotBlocks& job, void* out) {
  auto* to = static_cast<std::uint8_t*>(out);
  if (job.format.bits == Bits) {
    if (job.slots.index_bits == 2) return unpack_slots_of<Bits, 2>(job, to);
    unpack_slots_of<Bits, 3>(job, to);
  } else if constexpr (Bits < 4) {
    unpack_slots<Bits + 1>(job, out);
  }
}

}  // namespace
}  // namespace terse::kernels
