#include "support/reference_safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace terse::test {
namespace {

struct Format {
  int bytes;
  int fraction_bits;
  int exponent_bits;
};

Format format_of(const std::string& dtype) {
  if (dtype == "F32") return {4, 23, 8};
  if (dtype == "F16") return {2, 10, 5};
  if (dtype == "BF16") return {2, 7, 8};
  throw std::runtime_error("the tests do not know the dtype " + dtype);
}

int bias_of(const Format& format) {
  return (1 << (format.exponent_bits - 1)) - 1;
}

// The step between neighbouring values around `value`, as an exponent of two.
int step_exponent(const Format& format, double value) {
  const int smallest = 1 - bias_of(format);
  const int exponent = value == 0 ? smallest : std::max(std::ilogb(value), smallest);
  return exponent - format.fraction_bits;
}

std::uint32_t encode(const Format& format, double rounded) {
  const std::uint32_t sign = std::signbit(rounded) ? 1 : 0;
  const int step = step_exponent(format, rounded);
  const auto mantissa = static_cast<std::uint32_t>(std::ldexp(std::fabs(rounded), -step));
  // A normal mantissa carries its hidden bit, which adds one to the exponent field.
  const auto scale =
      static_cast<std::uint32_t>(step + format.fraction_bits - (1 - bias_of(format)));
  const std::uint32_t magnitude = (scale << format.fraction_bits) + mantissa;
  return sign << (format.fraction_bits + format.exponent_bits) | magnitude;
}

double decode(const Format& format, std::uint32_t bits) {
  const std::uint32_t fraction_mask = (1U << format.fraction_bits) - 1;
  const std::uint32_t exponent_mask = (1U << format.exponent_bits) - 1;
  const std::uint32_t field = bits >> format.fraction_bits & exponent_mask;
  if (field == exponent_mask) throw std::runtime_error("a weight is not finite");
  const std::uint32_t mantissa =
      (bits & fraction_mask) + (field == 0 ? 0 : 1U << format.fraction_bits);
  const int exponent = std::max<int>(static_cast<int>(field), 1) - bias_of(format);
  const double magnitude = std::ldexp(mantissa, exponent - format.fraction_bits);
  const bool negative = bits >> (format.fraction_bits + format.exponent_bits) & 1;
  return negative ? -magnitude : magnitude;
}

void append_little_endian(std::string& bytes, std::uint64_t value, int count) {
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

std::uint64_t little_endian(const std::string& bytes, std::size_t offset, int count) {
  std::uint64_t value = 0;
  for (int i = 0; i < count; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes.at(offset + i)))
             << (8 * i);
  }
  return value;
}

}  // namespace

double round_to(const std::string& dtype, double value) {
  const int step = step_exponent(format_of(dtype), value);
  return std::ldexp(std::nearbyint(std::ldexp(value, -step)), step);
}

ReferenceWeights round_weights(ReferenceWeights weights, const std::string& dtype) {
  for (auto& [name, tensor] : weights) {
    for (double& value : tensor.values) value = round_to(dtype, value);
  }
  return weights;
}

void write_safetensors(const std::filesystem::path& path, const ReferenceWeights& weights,
                       const std::string& dtype) {
  const Format format = format_of(dtype);
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const auto& [name, tensor] : weights) {
    const std::size_t begin = data.size();
    for (const double value : tensor.values) {
      append_little_endian(data, encode(format, round_to(dtype, value)), format.bytes);
    }
    header[name] = {
        {"dtype", dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string length;
  append_little_endian(length, text.size(), 8);
  std::ofstream out(path, std::ios::binary);
  out << length << text << data;
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

ReferenceWeights read_safetensors(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  const std::string file{std::istreambuf_iterator<char>(in), {}};
  const std::size_t header_size = little_endian(file, 0, 8);
  const auto header = nlohmann::json::parse(file.substr(8, header_size));
  ReferenceWeights weights;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const Format format = format_of(entry.at("dtype"));
    ReferenceTensor& tensor = weights[name];
    entry.at("shape").get_to(tensor.shape);
    const std::size_t begin = 8 + header_size + entry.at("data_offsets").at(0).get<std::size_t>();
    const std::size_t end = 8 + header_size + entry.at("data_offsets").at(1).get<std::size_t>();
    for (std::size_t at = begin; at < end; at += format.bytes) {
      const auto bits = static_cast<std::uint32_t>(little_endian(file, at, format.bytes));
      tensor.values.push_back(decode(format, bits));
    }
  }
  return weights;
}

}  // namespace terse::test
