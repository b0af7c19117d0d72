#include "terse/core/digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "terse/core/file.h"

namespace terse {
namespace {

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

void Digest::step(Lanes& lanes, const std::byte* bytes) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    lanes[lane] = mix(lanes[lane], word_at(bytes + lane * sizeof(std::uint64_t)) + lane);
  }
}

void Digest::add(std::span<const std::byte> bytes) {
  const std::size_t waiting = size_ % kStep;
  size_ += bytes.size();
  if (waiting > 0) {
    const auto first = bytes.first(std::min(kStep - waiting, bytes.size()));
    std::ranges::copy(first, rest_.begin() + static_cast<std::ptrdiff_t>(waiting));
    if (waiting + first.size() < kStep) return;
    bytes = bytes.subspan(first.size());
    step(lanes_, rest_.data());
  }
  for (; bytes.size() >= kStep; bytes = bytes.subspan(kStep)) step(lanes_, bytes.data());
  rest_.fill(std::byte{0});
  std::ranges::copy(bytes, rest_.begin());
}

std::string Digest::text() const {
  Lanes lanes = lanes_;
  step(lanes, rest_.data());
  std::uint64_t state = size_;
  for (const std::uint64_t lane : lanes) state = mix(state + 1, lane);
  return fmt::format("{:016x}", state);
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
