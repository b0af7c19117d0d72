#include "terse/formats/teacher_outputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/formats/safetensors_header_text.h"

namespace terse {
namespace {

constexpr const char* kTensor = "teacher_outputs";
constexpr const char* kFormat = "terse teacher outputs 1";
constexpr const char* kMadeFrom = "made from ";
// Of each size; products of two, and columns, then fit 64 bits.
constexpr std::int64_t kLargest = 0x7fffffff;

constexpr std::size_t kCodesAtOnce = std::size_t{1} << 18;  // that are written

using Code = std::uint16_t;

Code encode(float log_probability) {
  const double steps = std::nearbyint(-kLogProbabilitySteps * static_cast<double>(log_probability));
  return static_cast<Code>(std::clamp(steps, 0.0, 65535.0));
}

const std::string& required(const SafetensorsMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) throw bad_input("the metadata has no {}", key);
  return found->second;
}

std::int64_t size_of(const SafetensorsMetadata& metadata, const std::string& key,
                     std::int64_t largest) {
  const std::string& text = required(metadata, key);
  std::int64_t size = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, size);
  if (result.ec != std::errc() || result.ptr != end || size < 1 || size > largest) {
    throw bad_input("{} is '{}' in the metadata; expected an integer from 1 to {}", key, text,
                    largest);
  }
  return size;
}

TeacherOutputsInfo read_info(const SafetensorsMetadata& metadata) {
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kFormat) {
    throw bad_input("is no file of teacher outputs");
  }
  TeacherOutputsInfo info;
  info.vocab_size = size_of(metadata, "vocab_size", kLargest);
  info.window = size_of(metadata, "window", kLargest);
  info.windows = size_of(metadata, "windows", kLargest);
  info.top_k = size_of(metadata, "top_k", info.vocab_size);
  for (const auto& [key, value] : metadata) {
    if (key.starts_with(kMadeFrom)) info.made_from[key.substr(std::strlen(kMadeFrom))] = value;
  }
  return info;
}

std::string header_of(const TeacherOutputsInfo& info) {
  SafetensorsMetadata metadata{{"format", kFormat},
                               {"vocab_size", std::to_string(info.vocab_size)},
                               {"window", std::to_string(info.window)},
                               {"windows", std::to_string(info.windows)},
                               {"top_k", std::to_string(info.top_k)}};
  for (const auto& [name, digest] : info.made_from) metadata[kMadeFrom + name] = digest;
  const Shape shape{info.positions(), info.columns()};
  const auto bytes = static_cast<std::uint64_t>(element_count(shape)) * sizeof(Code);
  return safetensors_header_text({{kTensor, DType::u16, shape, 0, bytes}}, metadata);
}

Code code_at(std::span<const std::byte> codes, std::int64_t index) {
  Code code;
  std::memcpy(&code, codes.data() + static_cast<std::size_t>(index) * sizeof code, sizeof code);
  return code;
}

std::string digest_difference(const std::map<std::string, std::string>& found,
                              const std::map<std::string, std::string>& wanted) {
  for (const auto& [name, digest] : wanted) {
    const auto other = found.find(name);
    if (other == found.end()) return fmt::format("nothing of {}", name);
    if (other->second != digest) {
      return fmt::format("another {} (digest {} where {} is wanted)", name, other->second, digest);
    }
  }
  for (const auto& [name, digest] : found) {
    if (!wanted.contains(name)) return fmt::format("also {}", name);
  }
  return "";
}

}  // namespace

std::string TeacherOutputsInfo::difference(const TeacherOutputsInfo& wanted) const {
  if (vocab_size != wanted.vocab_size) {
    return fmt::format("a vocabulary of {} tokens where {} are wanted", vocab_size,
                       wanted.vocab_size);
  }
  if (window != wanted.window) {
    return fmt::format("a window of {} tokens where {} are wanted", window, wanted.window);
  }
  if (top_k != wanted.top_k) {
    return fmt::format("the {} most probable tokens where {} are wanted", top_k, wanted.top_k);
  }
  std::string digests = digest_difference(made_from, wanted.made_from);
  if (!digests.empty() || windows == wanted.windows) return digests;
  return fmt::format("{} windows where {} are wanted", windows, wanted.windows);
}

TeacherOutputsWriter::TeacherOutputsWriter(const std::filesystem::path& path,
                                           TeacherOutputsInfo info)
    : info_(std::move(info)), writer_(path) {
  writer_.write(header_of(info_));
}

void TeacherOutputsWriter::add(std::span<const std::int64_t> ids,
                               std::span<const float> log_probabilities) {
  for (const std::int64_t id : ids) waiting_.push_back(static_cast<Code>(id & 0xffff));
  if (info_.wide()) {
    for (const std::int64_t id : ids) waiting_.push_back(static_cast<Code>(id >> 16));
  }
  for (const float value : log_probabilities) waiting_.push_back(encode(value));
  ++positions_;
  if (waiting_.size() >= kCodesAtOnce) write_waiting();
}

void TeacherOutputsWriter::write_waiting() {
  writer_.write(std::as_bytes(std::span(waiting_)));
  waiting_.clear();
}

void TeacherOutputsWriter::commit() {
  if (positions_ != info_.positions()) {
    throw failure("{} of {} positions of teacher outputs were written", positions_,
                  info_.positions());
  }
  write_waiting();
  writer_.commit();
}

TeacherOutputs TeacherOutputs::open(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  return with_context(path.string(), [&] { return parse(file->bytes(), file); });
}

TeacherOutputs TeacherOutputs::parse(std::span<const std::byte> file,
                                     std::shared_ptr<const void> owner) {
  const SafetensorsHeader header = parse_safetensors_header(file);
  TeacherOutputs outputs;
  outputs.info_ = read_info(header.metadata);
  const Shape shape{outputs.info_.positions(), outputs.info_.columns()};
  if (header.tensors.size() != 1 || header.tensors[0].name != kTensor ||
      header.tensors[0].dtype != DType::u16 || header.tensors[0].shape != shape) {
    throw bad_input("expected one tensor {} of U16 {} after what the metadata says", kTensor,
                    shape_text(shape));
  }
  outputs.data_ = file.subspan(header.data_begin);
  outputs.owner_ = std::move(owner);
  return outputs;
}

void TeacherOutputs::read(std::int64_t position, std::span<std::int64_t> ids,
                          std::span<float> log_probabilities) const {
  if (position < 0 || position >= info_.positions()) {
    throw bad_input("there are no teacher outputs of position {}: there are {} positions", position,
                    info_.positions());
  }
  const auto row_bytes = static_cast<std::size_t>(info_.columns()) * sizeof(Code);
  const auto row = data_.subspan(static_cast<std::size_t>(position) * row_bytes, row_bytes);
  std::int64_t column = 0;
  for (std::int64_t& id : ids) id = code_at(row, column++);
  if (info_.wide()) {
    for (std::int64_t& id : ids) id |= std::int64_t{code_at(row, column++)} << 16;
  }
  for (float& value : log_probabilities) {
    value = static_cast<float>(-code_at(row, column++) / kLogProbabilitySteps);
  }
  if (std::ranges::adjacent_find(ids, std::greater_equal<>()) != ids.end() ||
      ids.back() >= info_.vocab_size) {
    throw bad_input(
        "teacher outputs of position {}: the token ids are not in rising order within the "
        "vocabulary of {}; the file is damaged, delete it and it is written anew",
        position, info_.vocab_size);
  }
}

}  // namespace terse
