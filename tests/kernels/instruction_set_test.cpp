#include "terse/kernels/instruction_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "terse/core/error.h"

namespace terse::kernels {
namespace {

TEST(InstructionSetTest, EveryMachineHasThePortableOne) {
  const auto sets = available_instruction_sets();
  EXPECT_EQ(sets.front(), InstructionSet::portable);
  EXPECT_TRUE(std::is_sorted(sets.begin(), sets.end()));
}

TEST(InstructionSetTest, NamesAreThoseOfTheVariable) {
  EXPECT_EQ(instruction_set_name(InstructionSet::portable), "portable");
  EXPECT_EQ(instruction_set_name(InstructionSet::avx2), "avx2");
  EXPECT_EQ(instruction_set_name(InstructionSet::avx512), "avx512");
}

TEST(InstructionSetTest, SetsWhatTheProcessorHasAndRefusesTheRest) {
  const InstructionSet before = instruction_set();
  const auto sets = available_instruction_sets();
  for (const auto set : {InstructionSet::portable, InstructionSet::avx2, InstructionSet::avx512}) {
    if (std::find(sets.begin(), sets.end(), set) != sets.end()) {
      set_instruction_set(set);
      EXPECT_EQ(instruction_set(), set);
    } else {
      EXPECT_THROW(set_instruction_set(set), Error);
    }
  }
  set_instruction_set(before);
}

// The variable is read once per process, so each case asks in a process of its own.
void exit_with_chosen_set(const char* name) {
  setenv("TERSE_ISA", name, 1);
  try {
    std::exit(10 + static_cast<int>(instruction_set()));
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::exit(error.exit_code());
  }
}

TEST(InstructionSetDeathTest, TheVariableChooses) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  for (const InstructionSet set : available_instruction_sets()) {
    EXPECT_EXIT(exit_with_chosen_set(std::string(instruction_set_name(set)).c_str()),
                testing::ExitedWithCode(10 + static_cast<int>(set)), "");
  }
  EXPECT_EXIT(exit_with_chosen_set("avx9"), testing::ExitedWithCode(2), "TERSE_ISA=avx9");
}

}  // namespace
}  // namespace terse::kernels
