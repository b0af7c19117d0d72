// Loops that do nothing but multiply and add, in registers: what products can be held against.
#pragma once

#include <cstdint>

namespace terse::kernels {

/// Products of unsigned 8-bit codes with signed 8-bit inputs, added up in 32 bits, with the
/// instructions that products with packed integers take for codes of up to 5 bits: `vpdpbusd`, or
/// four `vpmaddubsw` to a `vpmaddwd`. Returns how many multiply-adds that was; each `round` is the
/// same number. On the calling thread.
std::int64_t multiply_bytes(std::int64_t rounds);

/// The same in float32, with fused multiply-adds where the instruction set has them.
std::int64_t multiply_floats(std::int64_t rounds);

}  // namespace terse::kernels
