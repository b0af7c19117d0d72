#include "terse/core/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/random.h"

namespace terse {
namespace {

constexpr DType kAllTypes[] = {DType::boolean, DType::u8,  DType::i8,  DType::f8_e4m3,
                               DType::f8_e5m2, DType::i16, DType::u16, DType::f16,
                               DType::bf16,    DType::i32, DType::u32, DType::f32,
                               DType::f64,     DType::i64, DType::u64};

// The value of a small float from its definition: sign, exponent and fraction, in double.
double value_of(std::uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto exponent = static_cast<int>(bits >> mantissa_bits & ((1U << exponent_bits) - 1));
  const double fraction = (bits & ((1U << mantissa_bits) - 1)) * std::ldexp(1.0, -mantissa_bits);
  const double sign = (bits >> (exponent_bits + mantissa_bits) & 1) != 0 ? -1.0 : 1.0;
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias);
  return sign * std::ldexp(1.0 + fraction, exponent - bias);
}

std::vector<float> converted(DType dtype, std::vector<std::uint8_t> raw) {
  std::vector<float> values(raw.size() / dtype_size(dtype));
  convert_to_float(dtype, std::as_bytes(std::span(raw)), values);
  return values;
}

TEST(DType, NamesAreReadBack) {
  for (const DType dtype : kAllTypes) {
    EXPECT_EQ(parse_dtype(dtype_name(dtype)), dtype);
    EXPECT_EQ(parse_dtype(dtype_torch_name(dtype)), dtype);
    EXPECT_EQ(parse_dtype("torch." + std::string(dtype_torch_name(dtype))), dtype);
  }
  EXPECT_EQ(parse_dtype("F4"), std::nullopt);
  EXPECT_EQ(parse_dtype(""), std::nullopt);
  EXPECT_EQ(dtype_name(DType::bf16), "BF16");
  EXPECT_EQ(dtype_torch_name(DType::f8_e4m3), "float8_e4m3fn");
  EXPECT_EQ(dtype_size(DType::bf16), 2U);
  EXPECT_EQ(dtype_size(DType::i64), 8U);
}

TEST(DType, EveryHalfPrecisionNumberIsItsDefinition) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto code = static_cast<std::uint16_t>(bits);
    const float half = f16_to_float(code);
    const float brain = bf16_to_float(code);
    if ((bits & 0x7c00) == 0x7c00) {
      EXPECT_EQ(std::isinf(half), (bits & 0x3ff) == 0) << bits;
      EXPECT_EQ(std::isnan(half), (bits & 0x3ff) != 0) << bits;
    } else {
      EXPECT_EQ(half, value_of(bits, 5, 10)) << bits;
    }
    if ((bits & 0x7f80) == 0x7f80) {
      EXPECT_EQ(std::isinf(brain), (bits & 0x7f) == 0) << bits;
      EXPECT_EQ(std::isnan(brain), (bits & 0x7f) != 0) << bits;
    } else {
      EXPECT_EQ(brain, value_of(bits, 8, 7)) << bits;
    }
  }
}

TEST(DType, EveryHalfPrecisionNumberSurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto code = static_cast<std::uint16_t>(bits);
    if (std::isnan(f16_to_float(code))) {
      EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(f16_to_float(code))))) << bits;
    } else {
      EXPECT_EQ(float_to_f16(f16_to_float(code)), code);
    }
    if (std::isnan(bf16_to_float(code))) {
      EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(bf16_to_float(code))))) << bits;
    } else {
      EXPECT_EQ(float_to_bf16(bf16_to_float(code)), code);
    }
  }
}

// Nearest by brute force: no neighbour is nearer, and a tie goes to the even code.
template <std::uint16_t (*to_half)(float), float (*from_half)(std::uint16_t)>
void expect_nearest_even(float value) {
  const std::uint16_t code = to_half(value);
  const double distance = std::abs(static_cast<double>(from_half(code)) - value);
  ASSERT_TRUE(std::isfinite(distance)) << value;
  for (const int step : {-1, 1}) {
    // Codes of one sign are ordered by magnitude.
    if ((code & 0x7fff) == 0 && step < 0) continue;
    const float neighbour = from_half(static_cast<std::uint16_t>(code + step));
    if (!std::isfinite(neighbour)) continue;
    const double other = std::abs(static_cast<double>(neighbour) - value);
    EXPECT_LE(distance, other) << value;
    EXPECT_TRUE(distance < other || code % 2 == 0) << value;
  }
}

TEST(DType, RoundsToTheNearestAndTiesToEven) {
  Random random(1);
  for (int i = 0; i < 200'000; ++i) {
    const auto exponent = static_cast<int>(random.below(42)) - 26;  // 2^-26 to 2^15
    auto value = static_cast<float>(std::ldexp(1.0 + random.uniform(), exponent));
    if (value > 65504) continue;
    // A third of them at, or just beside, the middle of two numbers of either type.
    if (i % 3 == 0) value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & ~0xfffU);
    if (i % 6 == 0) value = std::nextafter(value, 0.0F);
    expect_nearest_even<float_to_f16, f16_to_float>(i % 2 == 0 ? value : -value);
    expect_nearest_even<float_to_bf16, bf16_to_float>(i % 2 == 0 ? value : -value);
  }
}

TEST(DType, LimitsOfHalfPrecision) {
  EXPECT_EQ(float_to_f16(65504.0F), 0x7bff);
  EXPECT_EQ(float_to_f16(65519.99F), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.0F), 0x7c00);
  EXPECT_EQ(float_to_f16(-1e30F), 0xfc00);
  EXPECT_EQ(float_to_f16(0x1p-24F), 0x0001);
  EXPECT_EQ(float_to_f16(0x1p-25F), 0x0000);  // a tie, to even
  EXPECT_EQ(float_to_f16(0x1.000002p-25F), 0x0001);
  EXPECT_EQ(float_to_f16(-0.0F), 0x8000);
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::infinity()), 0x7f80);
  // A NaN whose high bits are all in the part that is cut off.
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::bit_cast<float>(0x7f800001U)))));
  EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(std::bit_cast<float>(0x7f800001U)))));
}

TEST(DType, EveryByteFloatIsItsDefinition) {
  for (std::uint32_t bits = 0; bits < 256; ++bits) {
    const auto code = static_cast<std::uint8_t>(bits);
    const float e4m3 = converted(DType::f8_e4m3, {code})[0];
    if ((bits & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(e4m3));
    } else {
      EXPECT_EQ(e4m3, value_of(bits, 4, 3)) << bits;
    }
    const float e5m2 = converted(DType::f8_e5m2, {code})[0];
    if ((bits & 0x7c) == 0x7c) {
      EXPECT_EQ(std::isinf(e5m2), (bits & 3) == 0);
      EXPECT_EQ(std::isnan(e5m2), (bits & 3) != 0);
    } else {
      EXPECT_EQ(e5m2, value_of(bits, 5, 2)) << bits;
    }
  }
  EXPECT_EQ(converted(DType::f8_e4m3, {0x7e})[0], 448.0F);
  EXPECT_EQ(converted(DType::f8_e5m2, {0x7b})[0], 57344.0F);
}

TEST(DType, ConvertsFromAndToEveryRealTypeAtAnyAddress) {
  const std::vector<float> values{0.0F, -1.5F, 2.25F, 0x1p-14F, 1024.0F};
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64}) {
    std::vector<std::byte> buffer(values.size() * dtype_size(dtype) + 1);
    const auto unaligned = std::span(buffer).subspan(1);
    convert_from_float(dtype, values, unaligned);
    std::vector<float> read(values.size());
    convert_to_float(dtype, unaligned, read);
    EXPECT_EQ(read, values) << dtype_name(dtype);
    EXPECT_TRUE(is_floating(dtype));
  }
  std::vector<float> one(1);
  std::vector<std::byte> raw(8);
  EXPECT_THROW(convert_to_float(DType::i64, raw, one), Error);
  EXPECT_THROW(convert_from_float(DType::i8, one, std::span(raw).first(1)), Error);
  EXPECT_FALSE(is_floating(DType::i8));
}

TEST(DType, RoundToDtypeIsOneTripThroughStorage) {
  Random random(2);
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (int i = 0; i < 1000; ++i) {
      const std::vector<float> value{static_cast<float>(random.normal())};
      std::vector<std::byte> raw(dtype_size(dtype));
      std::vector<float> read(1);
      convert_from_float(dtype, value, raw);
      convert_to_float(dtype, raw, read);
      EXPECT_EQ(round_to_dtype(dtype, value[0]), read[0]);
    }
  }
}

}  // namespace
}  // namespace terse
