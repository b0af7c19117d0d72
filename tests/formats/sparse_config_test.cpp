#include "terse/formats/sparse_config.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace terse {
namespace {

using test::expect_error;

TEST(SparseScheme, ReadsItsLayoutsAndLeavesOthers) {
  EXPECT_EQ(parse_sparse_scheme(parse_json(R"({"layout": "2:4"})")),
            (SparseScheme{SparseLayout::two_four, {}}));
  const SparseScheme packed{SparseLayout::bitmap, QuantizationScheme{.bits = 4}};
  EXPECT_EQ(parse_sparse_scheme(parse_json(to_json(packed).dump())), packed);
  EXPECT_EQ(parse_sparse_scheme(parse_json(R"({"layout": "1:4"})")), std::nullopt);
}

TEST(SparseScheme, RefusesASchemeThatCannotBe) {
  Json json = to_json(SparseScheme{SparseLayout::bitmap, QuantizationScheme{.bits = 4}});
  json["quantization"]["weights"]["num_bits"] = 9;
  expect_error(ErrorKind::bad_input, "quantization: weights: key 'num_bits': 9 is not 2 to 8",
               [&] { parse_sparse_scheme(json); });
}

}  // namespace
}  // namespace terse
