#include "terse/train/loop/training_copy.h"

#include <cstring>

#include "terse/core/error.h"
#include "terse/formats/safetensors.h"

namespace terse::train {
namespace {

constexpr const char* kAbout = "about";

}  // namespace

void write_copy(const std::filesystem::path& path, const NamedTensors& tensors, const Json& about) {
  SafetensorsWriter writer(path, {{kAbout, about.dump()}});
  for (const auto& [name, tensor] : tensors) {
    const torch::Tensor values = tensor.detach().to(torch::kCPU, torch::kFloat).contiguous();
    const std::span<const float> floats(values.data_ptr<float>(),
                                        static_cast<std::size_t>(values.numel()));
    writer.add(name, Tensor::from_values<float>(DType::f32, values.sizes().vec(), floats));
  }
  writer.commit();
}

Json read_copy(const std::filesystem::path& path, const NamedTensors& tensors) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  for (const auto& [name, tensor] : tensors) {
    const Tensor stored = file.tensor(name);
    if (stored.dtype() != DType::f32 || stored.shape() != tensor.sizes().vec()) {
      throw bad_input("{}: {} is {} where the model has another shape; use --restart",
                      path.string(), name, shape_text(stored.shape()));
    }
    torch::Tensor values = torch::empty(tensor.sizes(), torch::kFloat);
    std::memcpy(values.data_ptr<float>(), stored.bytes().data(), stored.bytes().size());
    const torch::NoGradGuard no_grad;
    torch::Tensor target = tensor;
    target.copy_(values);
  }
  const auto about = file.metadata().find(kAbout);
  if (about == file.metadata().end()) throw bad_input("{}: is no copy of a run", path.string());
  return with_context(path.string(), [&] { return parse_json(about->second); });
}

}  // namespace terse::train
