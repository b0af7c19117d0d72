// A LoRA adapter in PEFT's format: adapter_config.json and adapter_model.safetensors.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/formats/peft_config.h"

namespace terse {

/// What an adapter adds to one linear: W + scale B A; with DoRA (Liu et al., arXiv 2402.09353) the
/// rows of that sum, brought to the lengths `magnitude`.
struct PeftModule {
  std::string name;  ///< Of the linear in the base model as transformers builds it.
  double lora_alpha = 0;
  double scale = 0;
  Tensor a;                              ///< `lora_A.weight` [r, in]
  Tensor b;                              ///< `lora_B.weight` [out, r]
  std::optional<Tensor> magnitude = {};  ///< `lora_magnitude_vector` [out], with use_dora alone.

  std::int64_t r() const { return a.shape()[0]; }
};

struct PeftAdapter {
  static constexpr const char* kConfig = "adapter_config.json";
  static constexpr const char* kTensors = "adapter_model.safetensors";

  PeftConfig config;
  std::vector<PeftModule> modules;  ///< Sorted by name; at least one.
};

/// The modules that tensors make, of those that a file of `names` holds. Errors: bad_input naming
/// the tensor: one that is of no LoRA of a linear, a missing partner, shapes that do not fit one
/// another or the rank of the config, values that are not finite real numbers, and a module that
/// `target_modules` does not name.
std::vector<PeftModule> read_peft_modules(const PeftConfig& config,
                                          const std::vector<std::string>& names,
                                          const std::function<Tensor(const std::string&)>& tensor);

/// Tensors are views of the mapped file. Errors: bad_input naming the file.
PeftAdapter read_peft_adapter(const std::filesystem::path& directory);

/// The tensors as the file names them, module after module.
std::vector<NamedTensor> peft_tensors(const PeftAdapter& adapter);

}  // namespace terse
