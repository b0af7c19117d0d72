#include "terse/kernels/integer_steps.h"

#include <cstring>
#include <initializer_list>

#include "terse/kernels/integer_panel.h"

namespace terse::kernels {
namespace {

constexpr std::int64_t kHalf = 16;  // rows of a panel that share no byte with one another

/// A plane of a step: `width` bits of each code, from bit `low`, `offset` bytes into the step.
struct Plane {
  int width;
  int low;
  std::int64_t offset;
};

template <class Body>
void for_each_plane(int bits, const Body& body) {
  if (bits == 8) return body(Plane{8, 0, 0});
  int low = 0;
  for (const int width : {4, 2, 1}) {
    if ((bits & width) == 0) continue;
    body(Plane{width, low, low * kCell});
    low += width;
  }
}

std::uint64_t load_codes(const std::uint8_t* from) {
  std::uint64_t codes;
  std::memcpy(&codes, from, sizeof codes);
  return codes;
}

void store_quad(std::uint8_t* to, std::uint64_t quad) {
  const auto bytes = static_cast<std::uint32_t>(quad);
  std::memcpy(to, &bytes, sizeof bytes);
}

/// The bits of a plane of 8 codes of a row in the upper and one in the lower half of a panel,
/// where they share a byte.
std::uint64_t halves(const Plane& plane, std::uint64_t upper, std::uint64_t lower) {
  const std::uint64_t mask = 0x0101010101010101U * ((1U << plane.width) - 1);
  return ((upper >> plane.low) & mask) | (((lower >> plane.low) & mask) << plane.width);
}

void pack_bytes(const std::uint8_t* upper, const std::uint8_t* lower, std::uint8_t* out) {
  for (std::int64_t c = 0; c < 4; ++c) {
    std::memcpy(out + 2 * c * kCell, upper + 4 * c, 4);
    std::memcpy(out + (2 * c + 1) * kCell, lower + 4 * c, 4);
  }
}

void pack_planes(const std::uint8_t* upper, const std::uint8_t* lower, int bits,
                 std::uint8_t* out) {
  const std::uint64_t a[] = {load_codes(upper), load_codes(upper + 8)};
  const std::uint64_t b[] = {load_codes(lower), load_codes(lower + 8)};
  for_each_plane(bits, [&](const Plane& plane) {
    const std::uint64_t first = halves(plane, a[0], b[0]);
    const std::uint64_t second = halves(plane, a[1], b[1]);
    std::uint8_t* to = out + plane.offset;
    if (plane.width == 4) {
      store_quad(to, first);
      store_quad(to + kCell, first >> 32);
      store_quad(to + 2 * kCell, second);
      store_quad(to + 3 * kCell, second >> 32);
    } else if (plane.width == 2) {
      store_quad(to, first | first >> 32 << 4);
      store_quad(to + kCell, second | second >> 32 << 4);
    } else {
      store_quad(to, first | first >> 32 << 2 | second << 4 | second >> 32 << 6);
    }
  });
}

using Bytes = std::uint8_t __attribute__((vector_size(16)));
using Quads = std::uint32_t __attribute__((vector_size(16)));

Bytes load_bytes(const std::byte* from) {
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return bytes;
}

/// Nibbles of 32 columns of a row in the upper and one in the lower half: a byte for each column
/// as a plane of 4 bits has it, columns 0 to 15 and 16 to 31.
struct Joined {
  Joined(const std::byte* upper, const std::byte* lower) {
    const Bytes a = load_bytes(upper);
    const Bytes b = load_bytes(lower);
    const Bytes even = (a & 0x0F) | ((b & 0x0F) << 4);
    const Bytes odd = (a >> 4) | (b & 0xF0);
    steps[0] = reinterpret_cast<Quads>(
        __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    steps[1] = reinterpret_cast<Quads>(__builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11,
                                                               27, 12, 28, 13, 29, 14, 30, 15, 31));
  }

  Quads steps[2];
};

/// Stores four columns of each of four neighbouring rows side by side, cell after cell.
void store_transposed(const Quads& a, const Quads& b, const Quads& c, const Quads& d,
                      std::uint8_t* out) {
  const Quads ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Quads cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Quads ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Quads cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Quads cells[] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5),
                         __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
                         __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5),
                         __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
  for (std::int64_t cell = 0; cell < 4; ++cell) {
    std::memcpy(out + cell * kCell, &cells[cell], sizeof(Quads));
  }
}

}  // namespace

void pack_step(const std::uint8_t* codes, std::int64_t stride, int bits, std::uint8_t* step) {
  for (std::int64_t row = 0; row < kHalf; ++row) {
    const std::uint8_t* upper = codes + row * stride;
    const std::uint8_t* lower = upper + kHalf * stride;
    if (bits == 8) {
      pack_bytes(upper, lower, step + row * 4);
    } else {
      pack_planes(upper, lower, bits, step + row * 4);
    }
  }
}

void pack_nibbles(const std::byte* rows, std::int64_t stride, std::uint8_t* steps) {
  constexpr std::int64_t kStepBytes = 4 * kCell;
  for (std::int64_t row = 0; row < kHalf; row += 4) {
    const auto joined = [&](std::int64_t r) {
      return Joined(rows + r * stride, rows + (r + kHalf) * stride);
    };
    const Joined a = joined(row);
    const Joined b = joined(row + 1);
    const Joined c = joined(row + 2);
    const Joined d = joined(row + 3);
    for (std::int64_t s = 0; s < 2; ++s) {
      store_transposed(a.steps[s], b.steps[s], c.steps[s], d.steps[s],
                       steps + s * kStepBytes + row * 4);
    }
  }
}

std::uint8_t code_in_step(const std::uint8_t* step, int bits, std::int64_t row,
                          std::int64_t column) {
  const std::int64_t cell = column / 4 * 2 + row / kHalf;
  unsigned code = 0;
  for_each_plane(bits, [&](const Plane& plane) {
    const std::int64_t shared = 8 / plane.width;
    const std::uint8_t byte =
        step[plane.offset + cell / shared * kCell + row % kHalf * 4 + column % 4];
    const unsigned mask = (1U << plane.width) - 1;
    code |= ((byte >> (cell % shared * plane.width)) & mask) << plane.low;
  });
  return static_cast<std::uint8_t>(code);
}

}  // namespace terse::kernels
