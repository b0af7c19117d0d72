#include "terse/model/normal_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace terse {
namespace {

constexpr std::uint32_t kMagnitudes = 1U << 15;
using Magnitudes = std::array<float, kMagnitudes>;

// Entry i: (i + 1/2) / 2^15 of the magnitudes of a standard normal number lie below it. Newton's
// steps from the entry before; they rise to the root, as the error function is concave.
Magnitudes make_magnitudes() {
  Magnitudes magnitudes;
  double x = 0;
  for (std::uint32_t i = 0; i < kMagnitudes; ++i) {
    const double share = (i + 0.5) / kMagnitudes;
    for (int step = 0; step < 6; ++step) {
      const double density = std::numbers::sqrt2 * std::numbers::inv_sqrtpi * std::exp(-x * x / 2);
      x += (share - std::erf(x / std::numbers::sqrt2)) / density;
    }
    magnitudes[i] = static_cast<float>(x);
  }
  return magnitudes;
}

const Magnitudes& magnitudes() {
  static const Magnitudes made = make_magnitudes();
  return made;
}

// Word `index` of a stream: splitmix64 (Steele, Lea and Flood, 2014).
std::uint64_t random_word(std::uint64_t stream, std::uint64_t index) {
  std::uint64_t z = stream + (index + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// FNV-1a.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

void zero_two_of_four(float* four) {
  std::array<int, 4> order{0, 1, 2, 3};
  std::ranges::sort(order, {}, [&](int i) { return std::abs(four[i]); });
  four[order[0]] = four[order[1]] = 0.0F;
}

}  // namespace

NormalRows::NormalRows(std::uint64_t seed, std::string_view name, std::int64_t columns,
                       double deviation)
    : stream_(random_word(seed, hash_of(name))),
      columns_(columns),
      deviation_(static_cast<float>(deviation)) {}

void NormalRows::drop_smallest(double share) {
  least_ = deviation_ * magnitudes()[static_cast<std::size_t>(share * kMagnitudes)];
}

void NormalRows::make(std::int64_t index, std::vector<float>& out) const {
  constexpr std::int64_t kOfWord = 4;
  const std::int64_t words = (columns_ + kOfWord - 1) / kOfWord;
  const Magnitudes& table = magnitudes();
  out.resize(static_cast<std::size_t>(words * kOfWord));
  for (std::int64_t w = 0; w < words; ++w) {
    std::uint64_t bits = random_word(stream_, static_cast<std::uint64_t>(index * words + w));
    float* four = out.data() + w * kOfWord;
    for (int i = 0; i < kOfWord; ++i, bits >>= 16) {
      const float magnitude = deviation_ * table[bits >> 1 & (kMagnitudes - 1)];
      four[i] = magnitude < least_ ? 0.0F : (bits & 1) != 0 ? -magnitude : magnitude;
    }
    if (two_of_four_) zero_two_of_four(four);
  }
  out.resize(static_cast<std::size_t>(columns_));
}

}  // namespace terse
