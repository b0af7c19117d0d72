// What the machine can do at most, and how repeated measurements are put together.
#include <gtest/gtest.h>

#include "terse/core/threads.h"
#include "terse/eval/arithmetic_peak.h"
#include "terse/eval/memory_bandwidth.h"
#include "terse/eval/statistics.h"
#include "terse/kernels/instruction_set.h"
#include "terse/kernels/peak.h"

namespace terse {
namespace {

TEST(ArithmeticPeak, IsBeyondWhatOneScalarOperationAtATimeReaches) {
  EXPECT_GT(byte_peak(), 1e9);
  EXPECT_GT(float_peak(), 1e9);
  EXPECT_GT(memory_bandwidth(), 1e8);
}

TEST(ArithmeticPeak, CountsWhatItDoes) {
  for (const auto set : kernels::available_instruction_sets()) {
    kernels::set_instruction_set(set);
    for (const auto multiply : {kernels::multiply_bytes, kernels::multiply_floats}) {
      EXPECT_GT(multiply(1), 0);
      EXPECT_EQ(multiply(3), 3 * multiply(1));
    }
  }
}

TEST(Spreads, HoldMedianAndEnds) {
  const Spread odd = spread_of({3, 1, 2});
  EXPECT_EQ(odd.median, 2);
  EXPECT_EQ(odd.least, 1);
  EXPECT_EQ(odd.most, 3);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).median, 2.5);
}

}  // namespace
}  // namespace terse
