// A model directory in the layout of Hugging Face, opened for reading.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"
#include "terse/formats/safetensors.h"

namespace terse {

/// A stored tensor, or rows and columns of it.
struct TensorPart {
  /// In the place of a number of a row or column: zeros.
  static constexpr std::int64_t kZeros = -1;

  std::string source;                      ///< Name of the tensor.
  std::vector<std::int64_t> rows = {};     ///< By number, in this order; empty: all.
  std::vector<std::int64_t> columns = {};  ///< The same, of a tensor of two dimensions.
  double scale = 1.0;                      ///< Real numbers are multiplied by it.
};

/// config.json with `model.safetensors`, or with the shards that `model.safetensors.index.json`
/// names. Tensors are views of mapped files; copies of a Checkpoint share them.
class Checkpoint {
 public:
  /// Opens every shard and checks every header. Errors: bad_input, naming the file: no directory,
  /// no config, no safetensors, a shard that is missing or damaged or whose name is a path, a
  /// tensor that is not in the shard that the index says.
  static Checkpoint open(const std::filesystem::path& directory);

  /// This checkpoint with the tensors of `files` added or put in the place of those with the same
  /// name, without those named in `hidden`, and with another config. Errors: bad_input.
  Checkpoint overlaid(const std::vector<std::filesystem::path>& files,
                      const std::set<std::string>& hidden, Json config) const;

  /// A checkpoint of parts of this one's tensors, by the names that they get, and nothing else.
  /// Nothing is copied before a tensor is asked for. Errors: bad_input when a source is not there
  /// or has not the rows or columns.
  Checkpoint of_parts(const std::map<std::string, TensorPart>& parts, Json config) const;

  const std::filesystem::path& dir() const { return directory_; }

  /// The files that hold its tensors.
  const std::vector<SafetensorsFile>& files() const { return files_; }

  /// config.json: always an object.
  const Json& config() const { return config_; }

  /// The metadata of all files together.
  const SafetensorsMetadata& metadata() const { return metadata_; }

  /// Every tensor, sorted by name: the same however the checkpoint is sharded.
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const { return places_.contains(name); }

  /// Tensors of a module and of the modules in it: those whose name begins with `module` and a dot.
  std::vector<std::string> names_of(std::string_view module) const;

  /// Errors: bad_input when there is no such tensor.
  Tensor tensor(std::string_view name) const;

  /// What a tensor is like; nothing of it is read or cut. Errors: bad_input when there is none.
  DType dtype(std::string_view name) const { return stored(name).dtype(); }
  Shape shape(std::string_view name) const;

  /// The file that holds a tensor. Errors: bad_input when there is no such tensor.
  const std::filesystem::path& path_of(std::string_view name) const { return file_of(name).path(); }

  /// Has the system read a tensor soon, while something else is computed.
  void read_ahead(std::string_view name) const;

  /// Gives the pages of a tensor back to the system; they are read again when touched.
  void drop_pages(std::string_view name) const;

  /// Bytes of all tensors.
  std::uint64_t total_bytes() const;

 private:
  struct Place {
    std::size_t file = 0;  ///< Index of `files_`.
    TensorPart part;       ///< Of the file's tensor.
  };

  void open_single();
  void open_shards();
  const Place& place_of(std::string_view name) const;
  /// The file's tensor that a tensor is, or is a part of.
  Tensor stored(std::string_view name) const {
    return file_of(name).tensor(place_of(name).part.source);
  }
  const SafetensorsFile& file_of(std::string_view name) const {
    return files_[place_of(name).file];
  }

  std::filesystem::path directory_;
  Json config_;
  SafetensorsMetadata metadata_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place, std::less<>> places_;  ///< By name.
};

}  // namespace terse
