#include "terse/core/dtype.h"

#include <array>
#include <bit>
#include <cmath>
#include <string>

#include "terse/core/error.h"

namespace terse {
namespace {

struct DTypeFacts {
  DType dtype;
  std::size_t size;
  std::string_view name;
  std::string_view torch_name;
};

constexpr std::array<DTypeFacts, 15> kFacts{{
    {DType::boolean, 1, "BOOL", "bool"},
    {DType::u8, 1, "U8", "uint8"},
    {DType::i8, 1, "I8", "int8"},
    {DType::f8_e4m3, 1, "F8_E4M3", "float8_e4m3fn"},
    {DType::f8_e5m2, 1, "F8_E5M2", "float8_e5m2"},
    {DType::i16, 2, "I16", "int16"},
    {DType::u16, 2, "U16", "uint16"},
    {DType::f16, 2, "F16", "float16"},
    {DType::bf16, 2, "BF16", "bfloat16"},
    {DType::i32, 4, "I32", "int32"},
    {DType::u32, 4, "U32", "uint32"},
    {DType::f32, 4, "F32", "float32"},
    {DType::f64, 8, "F64", "float64"},
    {DType::i64, 8, "I64", "int64"},
    {DType::u64, 8, "U64", "uint64"},
}};

const DTypeFacts& facts(DType dtype) {
  return kFacts[static_cast<std::size_t>(dtype)];
}

template <class T>
void copy_as_float(std::span<const std::byte> bytes, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    out[i] = static_cast<float>(value);
  }
}

template <float (*convert)(std::uint16_t)>
void copy_half_as_float(std::span<const std::byte> bytes, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, bytes.data() + i * sizeof bits, sizeof bits);
    out[i] = convert(bits);
  }
}

// Sign, `exponent_bits` and mantissa of an 8-bit float. E4M3 ("fn") has no infinities: only the
// largest code is NaN. E5M2 follows IEEE. (OCP 8-bit Floating Point Specification, table 1.)
float f8_to_float(std::uint8_t bits, int exponent_bits, bool has_infinity) {
  const int mantissa_bits = 7 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const float sign = (bits & 0x80) != 0 ? -1.0F : 1.0F;
  const int top = (1 << exponent_bits) - 1;
  if (has_infinity && exponent == top) return mantissa == 0 ? sign * INFINITY : NAN;
  if (!has_infinity && exponent == top && mantissa == (1 << mantissa_bits) - 1) return NAN;
  const float fraction = static_cast<float>(mantissa) / static_cast<float>(1 << mantissa_bits);
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias);
  return sign * std::ldexp(1.0F + fraction, exponent - bias);
}

void copy_f8_as_float(std::span<const std::byte> bytes, std::span<float> out, int exponent_bits,
                      bool has_infinity) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = f8_to_float(std::to_integer<std::uint8_t>(bytes[i]), exponent_bits, has_infinity);
  }
}

template <class T, T (*convert)(float)>
void copy_from_float(std::span<const float> values, std::span<std::byte> out) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T value = convert(values[i]);
    std::memcpy(out.data() + i * sizeof(T), &value, sizeof(T));
  }
}

double widen(float value) {
  return value;
}

}  // namespace

std::size_t dtype_size(DType dtype) {
  return facts(dtype).size;
}
std::string_view dtype_name(DType dtype) {
  return facts(dtype).name;
}
std::string_view dtype_torch_name(DType dtype) {
  return facts(dtype).torch_name;
}

std::optional<DType> parse_dtype(std::string_view name) {
  if (name.starts_with("torch.")) name.remove_prefix(6);
  for (const DTypeFacts& fact : kFacts) {
    if (name == fact.name || name == fact.torch_name) return fact.dtype;
  }
  return std::nullopt;
}

bool is_floating(DType dtype) {
  switch (dtype) {
    case DType::f8_e4m3:
    case DType::f8_e5m2:
    case DType::f16:
    case DType::bf16:
    case DType::f32:
    case DType::f64:
      return true;
    default:
      return false;
  }
}

std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  const std::uint32_t rounding = 0x7fffU + ((bits >> 16) & 1U);
  return static_cast<std::uint16_t>((bits + rounding) >> 16);
}

float f16_to_float(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fU;
  const std::uint32_t mantissa = bits & 0x3ffU;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
  return sign != 0 ? -magnitude : magnitude;
}

std::uint16_t float_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return sign | 0x7e00U;
  if (magnitude >= 0x477ff000U) return sign | 0x7c00U;  // 65520 and above round to infinity
  if (magnitude < 0x38800000U) {
    // Below 2^-14 the result is subnormal: adding 0.5 lets the processor round at bit 2^-24.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000U));
  }
  const std::uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

void convert_to_float(DType dtype, std::span<const std::byte> bytes, std::span<float> out) {
  if (out.empty()) return;  // memcpy may not be handed the null of an empty range
  switch (dtype) {
    case DType::f32:
      std::memcpy(out.data(), bytes.data(), out.size_bytes());
      return;
    case DType::f64:
      return copy_as_float<double>(bytes, out);
    case DType::bf16:
      return copy_half_as_float<bf16_to_float>(bytes, out);
    case DType::f16:
      return copy_half_as_float<f16_to_float>(bytes, out);
    case DType::f8_e4m3:
      return copy_f8_as_float(bytes, out, 4, false);
    case DType::f8_e5m2:
      return copy_f8_as_float(bytes, out, 5, true);
    default:
      throw failure("a tensor of {} cannot be read as real numbers", dtype_name(dtype));
  }
}

void convert_from_float(DType dtype, std::span<const float> values, std::span<std::byte> out) {
  if (values.empty()) return;
  switch (dtype) {
    case DType::f32:
      std::memcpy(out.data(), values.data(), values.size_bytes());
      return;
    case DType::f64:
      return copy_from_float<double, widen>(values, out);
    case DType::bf16:
      return copy_from_float<std::uint16_t, float_to_bf16>(values, out);
    case DType::f16:
      return copy_from_float<std::uint16_t, float_to_f16>(values, out);
    default:
      throw failure("real numbers cannot be stored as {} here", dtype_name(dtype));
  }
}

float round_to_dtype(DType dtype, float value) {
  switch (dtype) {
    case DType::bf16:
      return bf16_to_float(float_to_bf16(value));
    case DType::f16:
      return f16_to_float(float_to_f16(value));
    default:
      return value;
  }
}

}  // namespace terse
