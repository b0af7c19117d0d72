#include "terse/formats/checkpoint_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/formats/peft_adapter.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

// Weights as the programs of the field name them: after compression they would be stale.
bool is_weights(const fs::path& file) {
  constexpr std::array<std::string_view, 9> kExtensions{
      ".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".ot"};
  return std::ranges::find(kExtensions, file.extension().string()) != kExtensions.end() ||
         file.filename().string().ends_with(".index.json");
}

// An adapter's config would stand without its weights. A marker may be left in a directory whose
// writer was killed while it tidied up.
bool is_side_file(const fs::path& file, const fs::path& top) {
  return !is_weights(file) && file.filename() != DirectoryMarker::kName &&
         file.filename() != PeftAdapter::kConfig &&
         (file.filename() != "config.json" || file.parent_path() != top);
}

void copy_folder(const fs::path& from, const fs::path& to, const fs::path& top) {
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    const fs::path name = entry.path().filename();
    if (entry.is_regular_file() && is_side_file(entry.path(), top)) {
      copy_durably(entry.path(), to / name);
    } else if (entry.is_directory() && !entry.is_symlink() && !name.string().starts_with('.')) {
      copy_folder(entry.path(), to / name, top);
    }
  }
  sync_directory(to);
}

}  // namespace

void copy_durably(const fs::path& from, const fs::path& to) {
  FileWriter writer(to);
  writer.write(MappedFile::open(from)->bytes());
  writer.commit();
}

void copy_side_files(const fs::path& from, const fs::path& to) {
  with_filesystem_errors([&] { copy_folder(from, to, from); });
}

CheckpointWriter::CheckpointWriter(const fs::path& directory, CheckpointWriterOptions options)
    : options_(std::move(options)),
      staging_(directory, options_.force, options_.input, options_.resume) {}

fs::path CheckpointWriter::numbered_path() const {
  return staging() / fmt::format("shard-{:05}.safetensors", closed_shards_ + 1);
}

void CheckpointWriter::add(const std::string& name, const Tensor& tensor,
                           std::function<void()> written) {
  add(
      name, tensor.dtype(), tensor.shape(), [tensor] { return tensor; }, std::move(written));
}

void CheckpointWriter::add(const std::string& name, DType dtype, const Shape& shape,
                           std::function<Tensor()> make, std::function<void()> written) {
  if (!names_.insert(name).second) {
    throw failure("{}: tensor {} was written before", staging().string(), name);
  }
  const std::uint64_t bytes = static_cast<std::uint64_t>(element_count(shape)) * dtype_size(dtype);
  if (shard_ && shard_->data_bytes() > 0 &&
      shard_->data_bytes() + bytes > options_.max_shard_bytes) {
    close_shard();
  }
  if (!shard_) shard_ = std::make_unique<SafetensorsWriter>(numbered_path(), options_.metadata);
  shard_->add(name, dtype, shape, std::move(make), std::move(written));
  shard_of_.emplace_back(name, closed_shards_);
  total_bytes_ += bytes;
}

void CheckpointWriter::close_shard() {
  shard_->commit();
  shard_.reset();
  ++closed_shards_;
}

void CheckpointWriter::name_shards() {
  const auto rename = [&](std::size_t shard, const std::string& name) {
    fs::rename(staging() / fmt::format("shard-{:05}.safetensors", shard + 1), staging() / name);
  };
  if (closed_shards_ == 1) return rename(0, "model.safetensors");
  std::vector<std::string> files;
  for (std::size_t i = 0; i < closed_shards_; ++i) {
    files.push_back(fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, closed_shards_));
    rename(i, files.back());
  }
  Json index = {{"metadata", {{"total_size", total_bytes_}}}, {"weight_map", Json::object()}};
  for (const auto& [name, shard] : shard_of_) index["weight_map"][name] = files[shard];
  write_file(staging() / "model.safetensors.index.json", index.dump(2) + "\n");
}

void CheckpointWriter::finish(const Json& config, std::string_view identity) {
  if (!shard_) shard_ = std::make_unique<SafetensorsWriter>(numbered_path(), options_.metadata);
  close_shard();
  with_filesystem_errors([&] { name_shards(); });
  write_file(staging() / "config.json", config.dump(2) + "\n");
  staging_.commit(identity);
}

}  // namespace terse
