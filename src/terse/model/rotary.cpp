#include "terse/model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace terse {
namespace {

double frequency(double base, std::int64_t pair, std::int64_t dimensions) {
  return std::pow(base, -2.0 * static_cast<double>(pair) / static_cast<double>(dimensions));
}

// Beyond the trained length the base grows with the length of the sequence.
double dynamic_base(const Rope& rope, std::int64_t length) {
  const double trained = rope.original_max_position_embeddings;
  const double actual = std::max(static_cast<double>(length), trained);
  const auto d = static_cast<double>(rope.dimensions);
  const double growth = rope.factor * actual / trained - (rope.factor - 1);
  return rope.theta * std::pow(growth, d / (d - 2));
}

// Long waves are stretched, short ones kept, those between interpolated.
double llama3_frequency(const Rope& rope, double plain) {
  const double wavelength = 2 * std::numbers::pi / plain;
  const double trained = rope.original_max_position_embeddings;
  if (wavelength < trained / rope.high_freq_factor) return plain;
  if (wavelength > trained / rope.low_freq_factor) return plain / rope.factor;
  const double smooth = (trained / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * plain / rope.factor + smooth * plain;
}

// The pair whose wave turns `rotations` times within the trained length (YaRN, equation 23).
double yarn_pair(const Rope& rope, double rotations) {
  return static_cast<double>(rope.dimensions) *
         std::log(rope.original_max_position_embeddings / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(rope.theta));
}

double yarn_frequency(const Rope& rope, std::int64_t pair, double plain) {
  double low = yarn_pair(rope, rope.beta_fast);
  double high = yarn_pair(rope, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rope.dimensions - 1));
  if (low == high) high += 0.001;
  const double ramp = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
  return plain / rope.factor * ramp + plain * (1 - ramp);
}

double scaled_frequency(const Rope& rope, std::int64_t pair, std::int64_t length) {
  const double plain = frequency(rope.theta, pair, rope.dimensions);
  switch (rope.kind) {
    case RopeKind::none:
      return plain;
    case RopeKind::linear:
      return plain / rope.factor;
    case RopeKind::dynamic:
      return frequency(dynamic_base(rope, length), pair, rope.dimensions);
    case RopeKind::llama3:
      return llama3_frequency(rope, plain);
    case RopeKind::yarn:
      return yarn_frequency(rope, pair, plain);
  }
  return plain;
}

}  // namespace

std::vector<float> rotary_frequencies(const Rope& rope, std::int64_t length) {
  std::vector<float> frequencies(static_cast<std::size_t>(rope.dimensions / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] =
        static_cast<float>(scaled_frequency(rope, static_cast<std::int64_t>(i), length));
  }
  return frequencies;
}

}  // namespace terse
