// What multiplying can be held against.
#pragma once

namespace terse {

/// Operations per second (a multiply-add is two) of all threads together, in registers alone: the
/// best of several short passes. See kernels/peak.h for which instructions.
double byte_peak();   ///< 8-bit integers, added up in 32 bits.
double float_peak();  ///< float32.

}  // namespace terse
