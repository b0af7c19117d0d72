#include "terse/train/loop/training_copy.h"

#include <fmt/format.h>

#include <cstring>

#include "terse/core/digest.h"
#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/formats/safetensors.h"
#include "terse/formats/staging_directory.h"

namespace terse::train {
namespace {

namespace fs = std::filesystem;

Tensor stored(const torch::Tensor& tensor) {
  const torch::Tensor values = tensor.detach().to(torch::kCPU, torch::kFloat).contiguous();
  const std::span<const float> floats(values.data_ptr<float>(),
                                      static_cast<std::size_t>(values.numel()));
  return Tensor::from_values<float>(DType::f32, values.sizes().vec(), floats);
}

void fill(const torch::Tensor& tensor, const Tensor& from) {
  torch::Tensor values = torch::empty(tensor.sizes(), torch::kFloat);
  std::memcpy(values.data_ptr<float>(), from.bytes().data(), from.bytes().size());
  const torch::NoGradGuard no_grad;
  torch::Tensor target = tensor;
  target.copy_(values);
}

}  // namespace

TrainingCopy::TrainingCopy(fs::path folder, std::string name)
    : folder_(std::move(folder)), name_(std::move(name)) {}

void TrainingCopy::write(std::int64_t version, const NamedTensors& tensors,
                         const Json& about) const {
  const std::string file = fmt::format("{}-{}.safetensors", name_, version);
  SafetensorsWriter writer(folder_ / file);
  for (const auto& [name, tensor] : tensors) writer.add(name, stored(tensor));
  const std::string digest = writer.commit();
  write_file(folder_ / (name_ + ".json"),
             Json({{"file", file}, {"digest", digest}, {"about", about}}).dump());
  remove_others(file);
}

void TrainingCopy::remove_others(const std::string& file) const {
  with_filesystem_errors([&] {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const std::string other = entry.path().filename().string();
      if (other.starts_with(name_ + "-") && other != file) fs::remove(entry.path());
    }
  });
}

// A disk that lies may have torn either file: it is no copy then.
std::optional<Json> TrainingCopy::list() const {
  const fs::path path = folder_ / (name_ + ".json");
  if (!fs::exists(path)) return std::nullopt;
  try {
    Json list = read_json(path);
    const fs::path file = folder_ / get_string(list, "file");
    const bool ours = file.parent_path() == folder_ && fs::exists(file);
    if (!ours || file_digest(file) != get_string(list, "digest")) return std::nullopt;
    get_object(list, "about");
    return list;
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<Json> TrainingCopy::about() const {
  const std::optional<Json> found = list();
  if (!found) return std::nullopt;
  return found->at("about");
}

void TrainingCopy::read(const NamedTensors& tensors) const {
  const std::optional<Json> found = list();
  if (!found) throw bad_input("{}: holds no copy", folder_.string());
  const SafetensorsFile file = SafetensorsFile::open(folder_ / get_string(*found, "file"));
  for (const auto& [name, tensor] : tensors) {
    const Tensor from = file.tensor(name);
    if (from.dtype() != DType::f32 || from.shape() != tensor.sizes().vec()) {
      throw bad_input("{}: {} is {} where the model has another shape; use --restart",
                      file.path().string(), name, shape_text(from.shape()));
    }
    fill(tensor, from);
  }
}

}  // namespace terse::train
