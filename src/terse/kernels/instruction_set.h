// Which instruction set the kernels use: chosen once, at run time.
#pragma once

#include <string_view>

namespace terse::kernels {

/// Instruction sets in rising order. A processor that has one has those before it.
enum class InstructionSet { portable, avx2, avx512 };

/// The best one of this processor, or the one that the environment variable TERSE_ISA names
/// ("portable", "avx2", "avx512"; one that the processor lacks, or an unknown name, is an Error).
InstructionSet instruction_set();

std::string_view instruction_set_name(InstructionSet set);

}  // namespace terse::kernels
