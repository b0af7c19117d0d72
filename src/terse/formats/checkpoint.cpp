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

void check_part(const Shape& shape, const TensorPart& part) {
  const auto check = [&](const std::vector<std::int64_t>& picked, std::size_t dimension) {
    if (picked.empty()) return;
    if (dimension >= shape.size()) throw bad_input("has no columns to take");
    for (const std::int64_t i : picked) {
      if (i == TensorPart::kZeros || (i >= 0 && i < shape[dimension])) continue;
      throw bad_input("has no {} {}; its shape is {}", dimension == 0 ? "row" : "column", i,
                      shape_text(shape));
    }
  };
  check(part.rows, 0);
  check(part.columns, 1);
}

// Those of `from` that stand at `places`.
std::vector<std::int64_t> picked(const std::vector<std::int64_t>& from,
                                 const std::vector<std::int64_t>& places) {
  if (from.empty()) return places;
  if (places.empty()) return from;
  std::vector<std::int64_t> all;
  for (const std::int64_t place : places) {
    all.push_back(place == TensorPart::kZeros ? place : from[static_cast<std::size_t>(place)]);
  }
  return all;
}

Shape shape_of(Shape whole, const TensorPart& part) {
  if (!part.rows.empty()) whole[0] = static_cast<std::int64_t>(part.rows.size());
  if (!part.columns.empty()) whole[1] = static_cast<std::int64_t>(part.columns.size());
  return whole;
}

Tensor part_of(const Tensor& tensor, const TensorPart& part) {
  if (part.rows.empty() && part.columns.empty()) return tensor;
  const Shape shape = shape_of(tensor.shape(), part);
  const std::int64_t width = shape.size() > 1 ? tensor.shape()[1] : 1;
  const std::size_t size = dtype_size(tensor.dtype());
  std::vector<std::byte> bytes;
  bytes.reserve(static_cast<std::size_t>(element_count(shape)) * size);
  const auto append_zeros = [&](std::int64_t elements) {
    bytes.resize(bytes.size() + static_cast<std::size_t>(elements) * size);
  };
  const auto append = [&](std::int64_t first, std::int64_t elements) {
    const auto from = tensor.bytes().subspan(static_cast<std::size_t>(first) * size,
                                             static_cast<std::size_t>(elements) * size);
    bytes.insert(bytes.end(), from.begin(), from.end());
  };
  for (std::int64_t r = 0; r < shape[0]; ++r) {
    const std::int64_t row = part.rows.empty() ? r : part.rows[static_cast<std::size_t>(r)];
    if (row == TensorPart::kZeros) {
      append_zeros(part.columns.empty() ? width : shape[1]);
      continue;
    }
    if (part.columns.empty()) append(row * width, width);
    for (const std::int64_t c : part.columns) {
      c == TensorPart::kZeros ? append_zeros(1) : append(row * width + c, 1);
    }
  }
  return Tensor::from_bytes(tensor.dtype(), shape, std::move(bytes));
}

Tensor scaled(const Tensor& tensor, double scale) {
  std::vector<float> values = tensor.to_floats();
  for (float& value : values) value = static_cast<float>(value * scale);
  return Tensor::from_floats(tensor.dtype(), tensor.shape(), values);
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
  for (const SafetensorsEntry& entry : files_.back().entries()) {
    places_[entry.name] = {0, {entry.name}};
  }
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
      places_[name] = {found->second, {name}};
    }
  });
}

Checkpoint Checkpoint::overlaid(const std::vector<std::filesystem::path>& files,
                                const std::set<std::string>& hidden, Json config) const {
  Checkpoint overlay = *this;
  overlay.config_ = std::move(config);
  for (const std::string& name : hidden) overlay.places_.erase(name);
  for (const std::filesystem::path& path : files) {
    overlay.files_.push_back(SafetensorsFile::open(path));
    for (const SafetensorsEntry& entry : overlay.files_.back().entries()) {
      overlay.places_[entry.name] = {overlay.files_.size() - 1, {entry.name}};
    }
  }
  return overlay;
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  for (const auto& entry : places_) names.push_back(entry.first);
  return names;
}

const Checkpoint::Place& Checkpoint::place_of(std::string_view name) const {
  const auto found = places_.find(name);
  if (found == places_.end()) {
    throw bad_input("{}: holds no tensor {}", directory_.string(), name);
  }
  return found->second;
}

Checkpoint Checkpoint::of_parts(const std::map<std::string, TensorPart>& parts, Json config) const {
  Checkpoint result = *this;
  result.config_ = std::move(config);
  result.places_.clear();
  for (const auto& [name, part] : parts) {
    const Place& place = place_of(part.source);
    with_context(part.source, [&] { check_part(shape(part.source), part); });
    result.places_[name] = {
        place.file,
        {place.part.source, picked(place.part.rows, part.rows),
         picked(place.part.columns, part.columns), place.part.scale * part.scale}};
  }
  return result;
}

std::vector<std::string> Checkpoint::names_of(std::string_view module) const {
  const std::string prefix = std::string(module) + '.';
  std::vector<std::string> found;
  for (auto entry = places_.lower_bound(prefix);
       entry != places_.end() && entry->first.starts_with(prefix); ++entry) {
    found.push_back(entry->first);
  }
  return found;
}

Tensor Checkpoint::tensor(std::string_view name) const {
  const TensorPart& part = place_of(name).part;
  const Tensor cut = part_of(stored(name), part);
  return part.scale == 1.0 ? cut : scaled(cut, part.scale);
}

Shape Checkpoint::shape(std::string_view name) const {
  return shape_of(stored(name).shape(), place_of(name).part);
}

void Checkpoint::read_ahead(std::string_view name) const {
  file_of(name).read_ahead(place_of(name).part.source);
}

void Checkpoint::drop_pages(std::string_view name) const {
  file_of(name).drop_pages(place_of(name).part.source);
}

std::uint64_t Checkpoint::total_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& entry : places_) {
    bytes += static_cast<std::uint64_t>(element_count(shape(entry.first))) *
             dtype_size(dtype(entry.first));
  }
  return bytes;
}

}  // namespace terse
