// Which instruction set the kernels use: chosen once, at run time.
#pragma once

#include <string_view>
#include <vector>

namespace terse::kernels {

/// Instruction sets in rising order. A processor that has one has those before it.
enum class InstructionSet { portable, avx2, avx512, avx512vnni };

/// The one in use: the best one of this processor, or the one that the environment variable
/// TERSE_ISA names ("portable", "avx2", "avx512", "avx512vnni").
/// Errors: bad_usage for an unknown name or a set that the processor lacks.
InstructionSet instruction_set();

/// Uses `set` from now on; for tests and benchmarks, which compare the sets of one machine. Not
/// while kernels run. Errors: bad_usage if the processor lacks it.
void set_instruction_set(InstructionSet set);

/// The sets that this processor and this build have, in rising order.
std::vector<InstructionSet> available_instruction_sets();

std::string_view instruction_set_name(InstructionSet set);

}  // namespace terse::kernels
