#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "methods/random_problems.h"
#include "terse/core/error.h"
#include "terse/methods/method.h"

namespace terse::testing {
namespace {

using Given = std::map<std::string, std::string>;

QuantizedMatrix rtn(const Given& given, const Matrix& weight, const MethodContext& context = {}) {
  const MethodOptions options(MethodRegistry::instance().find("rtn"), given);
  return std::get<QuantizedMatrix>(
      make_linear_method("rtn", options, context)->compress({"layer", weight}));
}

std::string message_of(const Given& given, const Matrix& weight) {
  try {
    rtn(given, weight);
  } catch (const Error& error) {
    EXPECT_NE(error.kind(), ErrorKind::failed);
    return error.what();
  }
  return "";
}

// The published formulas, value by value.
TEST(RoundToNearest, CodesFollowTheFormulas) {
  const Matrix weight = random_matrix(37, 96, 1, 0.02);
  const QuantizedMatrix result = rtn({{"bits", "3"}, {"group_size", "24"}}, weight);
  EXPECT_EQ(result.scheme, (QuantizationScheme{3, false, QuantizationStrategy::group, 24}));
  for (std::int64_t r = 0; r < 37; ++r) {
    for (std::int64_t g = 0; g < 4; ++g) {
      const auto group = weight.row(r).segment(g * 24, 24);
      const float low = std::min(group.minCoeff(), 0.0F);
      const float scale = (std::max(group.maxCoeff(), 0.0F) - low) / 7.0F;
      const float zero = std::nearbyint(-low / scale);
      EXPECT_EQ(result.scales(r, g), scale);
      EXPECT_EQ(result.zeros[static_cast<std::size_t>(r * 4 + g)], zero);
      for (std::int64_t c = 0; c < 24; ++c) {
        const float code = std::clamp(std::nearbyint(group(c) / scale) + zero, 0.0F, 7.0F);
        ASSERT_EQ(result.codes[static_cast<std::size_t>(r * 96 + g * 24 + c)], code);
      }
    }
  }
}

// The ends of an asymmetric range are points of its grid, so a second pass finds the same grid.
TEST(RoundToNearest, AWeightOnItsGridIsKept) {
  const Matrix weight = random_matrix(20, 64, 2);
  for (const Given& given : {Given{{"group_size", "16"}}, Given{{"strategy", "channel"}},
                             Given{{"strategy", "tensor"}, {"bits", "8"}}}) {
    const Matrix dense = rtn(given, weight).dense();
    const Matrix again = rtn(given, dense).dense();
    EXPECT_LE((again - dense).cwiseAbs().maxCoeff(), 1e-5F * dense.cwiseAbs().maxCoeff());
  }
}

TEST(RoundToNearest, ZerosStayZeros) {
  Matrix weight = random_matrix(8, 32, 3);
  weight.row(2).setZero();
  weight(0, 5) = 0.0F;
  const Matrix dense = rtn({{"group_size", "16"}}, weight).dense();
  EXPECT_TRUE(dense.row(2).isZero(0.0F));
  EXPECT_EQ(dense(0, 5), 0.0F);
}

TEST(RoundToNearest, ScaleTypeIsTheModelsUnlessAskedFor) {
  const Matrix weight = random_matrix(4, 32, 4);
  const auto dtype = [&](const Given& given, DType model) {
    return rtn(given, weight, {.model_dtype = model}).scheme.scale_dtype;
  };
  const Given plain{{"strategy", "channel"}};
  EXPECT_EQ(dtype(plain, DType::bf16), DType::bf16);
  EXPECT_EQ(dtype(plain, DType::f16), DType::f16);
  EXPECT_EQ(dtype(plain, DType::f64), DType::f32);
  EXPECT_EQ(dtype({{"strategy", "channel"}, {"scale_dtype", "float16"}}, DType::bf16), DType::f16);
}

TEST(RoundToNearest, ErrorsSayWhatToDo) {
  const Matrix weight = random_matrix(4, 172, 5);
  EXPECT_THAT(message_of({}, weight),
              ::testing::AllOf(::testing::HasSubstr("layer"), ::testing::HasSubstr("172"),
                               ::testing::HasSubstr("use 86 or 172")));
  EXPECT_THAT(message_of({{"group_size", "500"}}, weight), ::testing::EndsWith("use 172"));
  EXPECT_THAT(message_of({{"group_size", "0"}}, weight), ::testing::HasSubstr("group_size"));
  EXPECT_THAT(message_of({{"bits", "9"}}, weight), ::testing::HasSubstr("bits"));
  EXPECT_THAT(message_of({{"bits", "1"}}, weight), ::testing::HasSubstr("bits"));
  EXPECT_THAT(message_of({{"clip", "max"}}, weight), ::testing::HasSubstr("minmax, mse"));
  EXPECT_THAT(message_of({{"percdamp", "1"}}, weight), ::testing::HasSubstr("percdamp"));
  EXPECT_THAT(message_of({}, Matrix(0, 128)), ::testing::HasSubstr("[0, 128]"));
  Matrix broken = random_matrix(4, 128, 6);
  broken(3, 127) = INFINITY;
  EXPECT_THAT(message_of({}, broken), ::testing::HasSubstr("layer: row 3"));
}

}  // namespace
}  // namespace terse::testing
