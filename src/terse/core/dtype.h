// Element types of stored tensors and conversions between them and float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace terse {

/// Element types of safetensors (https://github.com/huggingface/safetensors, `Dtype`).
enum class DType {
  boolean,
  u8,
  i8,
  f8_e4m3,
  f8_e5m2,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64
};

/// Bytes of one element.
std::size_t dtype_size(DType dtype);

/// The safetensors name: "F32", "BF16", "I8", …
std::string_view dtype_name(DType dtype);

/// The Hugging Face / PyTorch name: "float32", "bfloat16", "int8", …
std::string_view dtype_torch_name(DType dtype);

/// The type with a safetensors name or a PyTorch name (with or without "torch."), if there is one.
std::optional<DType> parse_dtype(std::string_view name);

/// Whether values of the type are real numbers that a weight may be stored in.
bool is_floating(DType dtype);

/// bfloat16 to float32: exact.
inline float bf16_to_float(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

/// float32 to bfloat16, nearest even; NaN stays NaN.
std::uint16_t float_to_bf16(float value);

/// IEEE binary16 to float32: exact.
float f16_to_float(std::uint16_t bits);

/// float32 to IEEE binary16, nearest even; overflow gives infinity, NaN stays NaN.
std::uint16_t float_to_f16(float value);

/// Converts `out.size()` elements of `dtype` at `bytes` (any alignment) to float32.
/// Errors: failed if the type has no conversion.
void convert_to_float(DType dtype, std::span<const std::byte> bytes, std::span<float> out);

/// Converts float32 to `dtype` (f32, f16, bf16 or f64), nearest even.
void convert_from_float(DType dtype, std::span<const float> values, std::span<std::byte> out);

/// The value after one trip through storage in `dtype`.
float round_to_dtype(DType dtype, float value);

}  // namespace terse
