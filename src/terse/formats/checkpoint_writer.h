// Writing a model directory in the layout of Hugging Face: complete or absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "terse/core/json.h"
#include "terse/formats/safetensors.h"
#include "terse/formats/staging_directory.h"

namespace terse {

struct CheckpointWriterOptions {
  /// A shard holds at most this many bytes of tensors, unless one tensor alone has more.
  std::uint64_t max_shard_bytes = 5'000'000'000;
  /// Replace an output that exists; it stays until the new one is complete.
  bool force = false;
  /// Leave what an earlier process wrote to `<directory>.part`: the caller continues it.
  bool resume = false;
  /// The checkpoint that is read meanwhile: the output may not be it, nor in it, nor around it.
  std::optional<std::filesystem::path> input = std::nullopt;
  /// Written into every file; Transformers insists on the key `format`.
  SafetensorsMetadata metadata = {{"format", "pt"}};
};

/// Writes a checkpoint shard by shard. Everything goes to `<directory>.part`, which takes the name
/// of the output in `finish` and is removed if that is not reached. Errors: bad_usage when input
/// and output touch; bad_input when the output exists without `force`; failed when the disk does
/// not take the bytes.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(const std::filesystem::path& directory,
                            CheckpointWriterOptions options = {});

  /// Where side files may be written before `finish`.
  const std::filesystem::path& staging() const { return staging_.path(); }
  StagingDirectory& staging_directory() { return staging_; }

  /// Tensors are written in this order, when their shard is full. They are kept until then, which
  /// costs nothing for mapped ones; `written` is called when the bytes are not needed any more.
  /// Errors: also failed when the name was added before.
  void add(const std::string& name, const Tensor& tensor, std::function<void()> written = {});

  /// The same of a tensor that is made when its shard is written, and let go of then.
  void add(const std::string& name, DType dtype, const Shape& shape, std::function<Tensor()> make,
           std::function<void()> written = {});

  /// Writes config.json and, for more than one shard, the index; then the output exists. `identity`
  /// is that of StagingDirectory::commit.
  void finish(const Json& config, std::string_view identity = {});

 private:
  void close_shard();
  void name_shards();
  std::filesystem::path numbered_path() const;

  CheckpointWriterOptions options_;
  StagingDirectory staging_;
  std::unique_ptr<SafetensorsWriter> shard_;
  std::size_t closed_shards_ = 0;
  std::vector<std::pair<std::string, std::size_t>> shard_of_;  ///< Tensor name, shard.
  std::set<std::string> names_;
  std::uint64_t total_bytes_ = 0;
};

/// Copies a file byte for byte and makes the copy durable. Errors: bad_input or failed, naming the
/// file.
void copy_durably(const std::filesystem::path& from, const std::filesystem::path& to);

/// Copies every side file (tokenizer, generation config, chat template, README, …) of a model
/// directory byte for byte, folders included: all but weights in any program's format, their
/// indexes, adapters, the top config.json, and hidden folders. Symbolic links to files are followed
/// (the hub's cache is made of them), those to folders are not. Errors: bad_input or failed, naming
/// the file.
void copy_side_files(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace terse
