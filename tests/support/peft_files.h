// Adapters in PEFT's format, written byte by byte: nothing of the product is used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace terse::test {

// A float32 tensor.
struct PeftTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

// What PEFT writes beside the tensors of an adapter of rank 2 on q_proj and v_proj.
inline nlohmann::json peft_config() {
  return nlohmann::json::parse(R"({
    "auto_mapping": null, "base_model_name_or_path": "some/model", "bias": "none",
    "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
    "layers_pattern": null, "layers_to_transform": null, "lora_alpha": 3, "lora_dropout": 0.05,
    "modules_to_save": null, "peft_type": "LORA", "r": 2, "revision": null,
    "target_modules": ["v_proj", "q_proj"], "task_type": "CAUSAL_LM", "use_dora": false,
    "use_rslora": false, "megatron_config": null, "megatron_core": "megatron.core",
    "rank_pattern": {}, "alpha_pattern": {}, "loftq_config": {}, "layer_replication": null})");
}

// Values that differ from one another, between -1 and 1.
inline PeftTensor peft_tensor(const std::string& name, std::vector<std::int64_t> shape, int seed) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  PeftTensor tensor{name, std::move(shape), {}};
  for (std::int64_t i = 0; i < count; ++i) {
    tensor.values.push_back(static_cast<float>((i * 37 + seed * 11) % 101 - 50) / 50.0F);
  }
  return tensor;
}

// lora_A [r, in] and lora_B [out, r] of a module.
inline std::vector<PeftTensor> peft_module(const std::string& module, std::int64_t out,
                                           std::int64_t in, std::int64_t r = 2) {
  const std::string name = "base_model.model." + module;
  return {peft_tensor(name + ".lora_A.weight", {r, in}, 1),
          peft_tensor(name + ".lora_B.weight", {out, r}, 2)};
}

inline void write_peft(const std::filesystem::path& folder, const nlohmann::json& config,
                       const std::vector<PeftTensor>& tensors) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "adapter_config.json") << config.dump(2);
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const PeftTensor& tensor : tensors) {
    const std::size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(tensor.values.data()),
                tensor.values.size() * sizeof(float));
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  const std::uint64_t size = text.size();
  std::ofstream file(folder / "adapter_model.safetensors", std::ios::binary);
  file.write(reinterpret_cast<const char*>(&size), sizeof size);
  file << text << data;
}

}  // namespace terse::test
