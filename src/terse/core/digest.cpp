#include "terse/core/digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "terse/core/file.h"

namespace terse {
namespace {

constexpr std::size_t kLanes = 4;
constexpr std::size_t kStep = kLanes * sizeof(std::uint64_t);
constexpr std::size_t kWindow = std::size_t{16} << 20;  // of a file that is mapped at a time

// Multiply and fold: every bit of both reaches every bit of the result.
std::uint64_t mix(std::uint64_t state, std::uint64_t value) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(state ^ value) * 0xd6e8feb86659fd93ULL;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t word_at(const std::byte* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

}  // namespace

void Digest::add(std::span<const std::byte> bytes) {
  state_ = mix(state_, bytes.size());
  // Independent lanes: their multiplications overlap.
  std::array<std::uint64_t, kLanes> lanes{state_, state_ + 1, state_ + 2, state_ + 3};
  while (bytes.size() >= kStep) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = mix(lanes[lane], word_at(bytes.data() + lane * sizeof(std::uint64_t)) + lane);
    }
    bytes = bytes.subspan(kStep);
  }
  std::array<std::byte, kStep> rest{};
  std::ranges::copy(bytes, rest.begin());
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    lanes[lane] = mix(lanes[lane], word_at(rest.data() + lane * sizeof(std::uint64_t)) + lane);
  }
  for (const std::uint64_t lane : lanes) state_ = mix(state_ + 1, lane);
}

std::string Digest::text() const {
  return fmt::format("{:016x}", state_);
}

std::string file_digest(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  Digest digest;
  for (auto rest = file->bytes(); !rest.empty();) {
    const auto window = rest.first(std::min(kWindow, rest.size()));
    digest.add(window);
    file->drop_pages(window);
    rest = rest.subspan(window.size());
  }
  return digest.text();
}

}  // namespace terse
