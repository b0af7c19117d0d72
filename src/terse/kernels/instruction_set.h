// Which instruction set the kernels use: chosen once, at run time.
#pragma once

#include <string_view>
#include <vector>

namespace terse::kernels {

/// Instruction sets, those of one family of processors in rising order: one that has a set has
/// those of its family before it.
enum class InstructionSet {
  portable,  ///< Vectors of 4 floats by the compiler: SSE2 on x86, Advanced SIMD on ARM.
  avx2,      ///< With FMA and F16C.
  avx512,    ///< F, BW, DQ and VL.
  avx512vnni,
  neon,  ///< Advanced SIMD with dot products (ARMv8.2 dotprod).
};

/// The one in use: the best one of this processor, or the one that the environment variable
/// TERSE_ISA names ("portable", "avx2", "avx512", "avx512vnni", "neon").
/// Errors: bad_usage for an unknown name or a set that the processor lacks.
InstructionSet instruction_set();

/// Uses `set` from now on; for tests and benchmarks, which compare the sets of one machine. Not
/// while kernels run. Errors: bad_usage if the processor lacks it.
void set_instruction_set(InstructionSet set);

/// The sets that this processor and this build have, in rising order.
std::vector<InstructionSet> available_instruction_sets();

std::string_view instruction_set_name(InstructionSet set);

}  // namespace terse::kernels
