// What a teacher predicts for every position of a text, in a file: the most probable tokens and how
// probable they are.
//
// The file is a safetensors file with one tensor `teacher_outputs` of U16 [positions, columns]. The
// columns of a position are
//   top_k token ids in rising order (their low halves, then as many high halves where the
//     vocabulary has more than 65536 tokens),
//   top_k + 1 codes of log-probabilities at temperature 1, in the order of the ids; the last is
//     that of all other tokens together, and is left out where top_k is the whole vocabulary.
// A code c stands for -c / 2048 nats. So every probability down to 1.3e-14 is known to a relative
// 1/4096, where float16 would give 1/2048 and nothing below 6e-8. The metadata says the sizes and
// what the file was made from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "terse/core/file.h"

namespace terse {

/// Steps of a stored log-probability per nat.
inline constexpr double kLogProbabilitySteps = 2048;

/// Sizes of a file of teacher outputs, and what it was made from.
struct TeacherOutputsInfo {
  std::int64_t vocab_size = 0;
  std::int64_t window = 0;                            ///< Positions of a window of text.
  std::int64_t windows = 0;                           ///< Of the text, one after another.
  std::int64_t top_k = 0;                             ///< 1 to vocab_size.
  std::map<std::string, std::string> made_from = {};  ///< Digests, by what they are of.

  std::int64_t positions() const { return window * windows; }
  /// What a position has a probability for: its tokens and, unless that is all, the others.
  std::int64_t outcomes() const { return top_k < vocab_size ? top_k + 1 : top_k; }
  bool wide() const { return vocab_size > 65536; }
  std::int64_t columns() const { return (wide() ? 2 : 1) * top_k + outcomes(); }

  /// What stands in the way of using outputs of `this` where those of `wanted` are: "a window of
  /// 128 tokens where 256 are wanted". Empty: nothing.
  std::string difference(const TeacherOutputsInfo& wanted) const;
};

/// Writes the positions in order. The file is there once `commit` has returned, whole.
class TeacherOutputsWriter {
 public:
  /// Errors: failed when the file cannot be created.
  TeacherOutputsWriter(const std::filesystem::path& path, TeacherOutputsInfo info);

  /// One position: top_k ids in rising order, and outcomes() log-probabilities in nats. Errors:
  /// failed (disk full).
  void add(std::span<const std::int64_t> ids, std::span<const float> log_probabilities);

  /// Errors: failed, also when not every position was added.
  void commit();

 private:
  void write_waiting();

  TeacherOutputsInfo info_;
  FileWriter writer_;
  std::int64_t positions_ = 0;
  std::vector<std::uint16_t> waiting_;  // to be written
};

/// A file of teacher outputs, mapped.
class TeacherOutputs {
 public:
  /// Errors: bad_input, naming the file.
  static TeacherOutputs open(const std::filesystem::path& path);

  /// The same from bytes that `owner` keeps alive. Errors: bad_input.
  static TeacherOutputs parse(std::span<const std::byte> file, std::shared_ptr<const void> owner);

  const TeacherOutputsInfo& info() const { return info_; }

  /// One position, as `TeacherOutputsWriter::add` got it but for rounding. Errors: bad_input for a
  /// position outside the file, and for ids that are not in rising order or outside the vocabulary.
  void read(std::int64_t position, std::span<std::int64_t> ids,
            std::span<float> log_probabilities) const;

 private:
  TeacherOutputsInfo info_;
  std::span<const std::byte> data_;
  std::shared_ptr<const void> owner_;
};

}  // namespace terse
