#include "terse/formats/checkpoint.h"

#include "terse/core/error.h"
#include "terse/core/file.h"

namespace terse {
namespace {

constexpr std::string_view kSingle = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

// A shard must be a file of the directory itself, not a path to somewhere else.
bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

Error no_weights(const std::filesystem::path& directory) {
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (std::filesystem::exists(directory / name)) {
      return bad_input("{}: holds {}, but only safetensors can be read; save the model as {}",
                       directory.string(), name, kSingle);
    }
  }
  return bad_input("{}: holds neither {} nor {}", directory.string(), kSingle, kIndex);
}

}  // namespace

Checkpoint Checkpoint::open(const std::filesystem::path& directory) {
  if (!std::filesystem::is_directory(directory)) {
    throw bad_input("{}: is not a directory; expected one that holds config.json and {}",
                    directory.string(), kSingle);
  }
  Checkpoint checkpoint;
  checkpoint.directory_ = directory;
  checkpoint.config_ = read_json(directory / "config.json");
  if (!checkpoint.config_.is_object()) {
    throw bad_input("{}: expected an object, found {}", (directory / "config.json").string(),
                    checkpoint.config_.type_name());
  }
  if (std::filesystem::exists(directory / kSingle)) {
    checkpoint.open_single();
  } else if (std::filesystem::exists(directory / kIndex)) {
    checkpoint.open_shards();
  } else {
    throw no_weights(directory);
  }
  return checkpoint;
}

void Checkpoint::open_single() {
  files_.push_back(SafetensorsFile::open(directory_ / kSingle));
  metadata_ = files_.back().metadata();
  for (const SafetensorsEntry& entry : files_.back().entries()) shard_of_[entry.name] = 0;
}

void Checkpoint::open_shards() {
  const std::filesystem::path index_path = directory_ / kIndex;
  const Json index = read_json(index_path);
  with_context(index_path.string(), [&] {
    std::map<std::string, std::size_t> opened;
    for (const auto& [name, value] : get_object(index, "weight_map").items()) {
      if (!value.is_string()) {
        throw bad_input("weight_map '{}': expected a file name, found {}", name, value.type_name());
      }
      const auto& file = value.get_ref<const std::string&>();
      if (!is_plain_file_name(file)) {
        throw bad_input("weight_map '{}': '{}' is not the name of a file in the directory", name,
                        file);
      }
      const auto [found, is_new] = opened.try_emplace(file, files_.size());
      if (is_new) {
        files_.push_back(SafetensorsFile::open(directory_ / file));
        metadata_.insert(files_.back().metadata().begin(), files_.back().metadata().end());
      }
      if (!files_[found->second].contains(name)) {
        throw bad_input("tensor {} is not in {}, where weight_map says", name, file);
      }
      shard_of_[name] = found->second;
    }
  });
}

Checkpoint Checkpoint::overlaid(const std::vector<std::filesystem::path>& files,
                                const std::set<std::string>& hidden, Json config) const {
  Checkpoint overlay = *this;
  overlay.config_ = std::move(config);
  for (const std::string& name : hidden) overlay.shard_of_.erase(name);
  for (const std::filesystem::path& path : files) {
    overlay.files_.push_back(SafetensorsFile::open(path));
    for (const SafetensorsEntry& entry : overlay.files_.back().entries()) {
      overlay.shard_of_[entry.name] = overlay.files_.size() - 1;
    }
  }
  return overlay;
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  for (const auto& entry : shard_of_) names.push_back(entry.first);
  return names;
}

const SafetensorsFile& Checkpoint::file_of(std::string_view name) const {
  const auto found = shard_of_.find(name);
  if (found == shard_of_.end()) {
    throw bad_input("{}: holds no tensor {}", directory_.string(), name);
  }
  return files_[found->second];
}

std::vector<std::string> Checkpoint::names_of(std::string_view module) const {
  const std::string prefix = std::string(module) + '.';
  std::vector<std::string> found;
  for (auto entry = shard_of_.lower_bound(prefix);
       entry != shard_of_.end() && entry->first.starts_with(prefix); ++entry) {
    if (entry->first.find('.', prefix.size()) == std::string::npos) found.push_back(entry->first);
  }
  return found;
}

Tensor Checkpoint::tensor(std::string_view name) const {
  return file_of(name).tensor(name);
}

void Checkpoint::read_ahead(std::string_view name) const {
  file_of(name).read_ahead(name);
}

void Checkpoint::drop_pages(std::string_view name) const {
  file_of(name).drop_pages(name);
}

std::uint64_t Checkpoint::total_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, file] : shard_of_) bytes += files_[file].tensor(name).bytes().size();
  return bytes;
}

}  // namespace terse
