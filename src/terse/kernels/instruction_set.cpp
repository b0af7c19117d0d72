#include "terse/kernels/instruction_set.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "terse/core/error.h"
#include "terse/kernels/kernel_table.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace terse::kernels {
namespace {

constexpr std::string_view kNames[] = {"portable", "avx2", "avx512", "avx512vnni", "neon"};

#if defined(__x86_64__)
// clang 14 does not know "f16c" as a name of __builtin_cpu_supports.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool has_avx512vnni() {
  return has_avx512() && __builtin_cpu_supports("avx512vnni");
}
#endif

const KernelTable& table(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::avx512vnni) return kAvx512VnniKernels;
  if (set == InstructionSet::avx512) return kAvx512Kernels;
  if (set == InstructionSet::avx2) return kAvx2Kernels;
#elif defined(__aarch64__)
  if (set == InstructionSet::neon) return kNeonKernels;
#endif
  (void)set;
  return kPortableKernels;
}

void require(InstructionSet set) {
  const auto sets = available_instruction_sets();
  if (std::find(sets.begin(), sets.end(), set) == sets.end()) {
    throw bad_usage("instruction set {} is not available on this machine; its best is {}",
                    instruction_set_name(set), instruction_set_name(sets.back()));
  }
}

InstructionSet chosen_set() {
  const char* wanted = std::getenv("TERSE_ISA");  // NOLINT(concurrency-mt-unsafe): only read
  if (wanted == nullptr || *wanted == '\0') return available_instruction_sets().back();
  const auto* name = std::find(std::begin(kNames), std::end(kNames), std::string_view(wanted));
  if (name == std::end(kNames)) {
    throw bad_usage("TERSE_ISA={} is unknown; choose {}", wanted, fmt::join(kNames, ", "));
  }
  const auto set = static_cast<InstructionSet>(name - std::begin(kNames));
  require(set);
  return set;
}

std::atomic<InstructionSet>& current_set() {
  static std::atomic<InstructionSet> set = chosen_set();
  return set;
}

}  // namespace

std::vector<InstructionSet> available_instruction_sets() {
  std::vector<InstructionSet> sets{InstructionSet::portable};
#if defined(__x86_64__)
  if (has_avx2()) sets.push_back(InstructionSet::avx2);
  if (has_avx512()) sets.push_back(InstructionSet::avx512);
  if (has_avx512vnni()) sets.push_back(InstructionSet::avx512vnni);
#elif defined(__aarch64__)
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) sets.push_back(InstructionSet::neon);
#endif
  return sets;
}

InstructionSet instruction_set() {
  return current_set();
}

void set_instruction_set(InstructionSet set) {
  require(set);
  current_set() = set;
}

std::string_view instruction_set_name(InstructionSet set) {
  return kNames[static_cast<std::size_t>(set)];
}

const KernelTable& kernel_table() {
  return table(instruction_set());
}

}  // namespace terse::kernels
