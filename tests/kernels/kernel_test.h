// Shared by the tests of kernels: every instruction set of the machine, random values, comparison.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "terse/core/threads.h"
#include "terse/kernels/instruction_set.h"

namespace terse::kernels {

/// A test that runs once per instruction set.
class KernelTest : public testing::TestWithParam<InstructionSet> {
 protected:
  KernelTest() { set_instruction_set(GetParam()); }
  ~KernelTest() override {
    set_instruction_set(before_);
    set_thread_count(threads_);
  }

 private:
  InstructionSet before_ = instruction_set();
  int threads_ = thread_count();
};

inline std::string set_name(const testing::TestParamInfo<InstructionSet>& info) {
  return std::string(instruction_set_name(info.param));
}

inline std::vector<float> random_floats(std::int64_t count, unsigned seed, float scale = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

inline bool same_bits(const float* a, const float* b, std::int64_t count) {
  return std::memcmp(a, b, static_cast<std::size_t>(count) * sizeof(float)) == 0;
}

}  // namespace terse::kernels
