#include "terse/formats/peft_adapter.h"

#include <map>
#include <string_view>
#include <utility>

#include "terse/core/error.h"
#include "terse/formats/safetensors.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

// The class that PEFT puts around a model, and what it calls the model.
constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kA = ".lora_A.weight";
constexpr std::string_view kB = ".lora_B.weight";
// Without ".weight": PEFT keeps the name from before this was a module.
constexpr std::string_view kMagnitude = ".lora_magnitude_vector";

// Names of the tensors of one module; empty where there is none.
struct ModuleNames {
  std::string a;
  std::string b;
  std::string magnitude;
};

std::map<std::string, ModuleNames> sort_by_module(const std::vector<std::string>& names) {
  std::map<std::string, ModuleNames> modules;
  for (const std::string& name : names) {
    const auto is = [&](std::string_view end) {
      return name.starts_with(kPrefix) && name.ends_with(end) &&
             name.size() > kPrefix.size() + end.size();
    };
    const auto module = [&](std::string_view end) -> ModuleNames& {
      return modules[name.substr(kPrefix.size(), name.size() - kPrefix.size() - end.size())];
    };
    if (is(kA)) {
      module(kA).a = name;
    } else if (is(kB)) {
      module(kB).b = name;
    } else if (is(kMagnitude)) {
      module(kMagnitude).magnitude = name;
    } else {
      throw bad_input(
          "tensor {} is not of a LoRA of a linear; expected names such as {}<module>{} "
          "(adapters of embeddings and whole layers are not supported)",
          name, kPrefix, kA);
    }
  }
  return modules;
}

Tensor checked(const std::string& name, const Tensor& tensor, std::size_t dimensions) {
  if (!is_floating(tensor.dtype()) || tensor.shape().size() != dimensions) {
    throw bad_input("{} is {} {}; expected real numbers of {} dimensions", name,
                    dtype_name(tensor.dtype()), shape_text(tensor.shape()), dimensions);
  }
  if (!all_finite(tensor)) throw bad_input("{}: holds NaN or infinity", name);
  return tensor;
}

void require_names(const PeftConfig& config, const std::string& module, const ModuleNames& names) {
  const auto require = [&](const std::string& found, std::string_view end) {
    if (found.empty()) throw bad_input("{}{}{} is missing", kPrefix, module, end);
  };
  require(names.a, kA);
  require(names.b, kB);
  if (config.use_dora) require(names.magnitude, kMagnitude);
  if (!config.use_dora && !names.magnitude.empty()) {
    throw bad_input("{} is there, but {} says 'use_dora': false", names.magnitude,
                    PeftAdapter::kConfig);
  }
}

void require_shapes(const PeftModule& module, const ModuleNames& names, std::int64_t r) {
  if (module.a.shape()[0] != r || module.b.shape()[1] != r) {
    throw bad_input("{}: lora_A is {} and lora_B {}; {} makes the rank {}", module.name,
                    shape_text(module.a.shape()), shape_text(module.b.shape()),
                    PeftAdapter::kConfig, r);
  }
  if (module.magnitude && module.magnitude->shape() != Shape{module.b.shape()[0]}) {
    throw bad_input("{} is {}; lora_B makes it [{}]", names.magnitude,
                    shape_text(module.magnitude->shape()), module.b.shape()[0]);
  }
}

}  // namespace

std::vector<PeftModule> read_peft_modules(const PeftConfig& config,
                                          const std::vector<std::string>& names,
                                          const std::function<Tensor(const std::string&)>& tensor) {
  const PeftModuleRules rules(config);
  std::vector<PeftModule> modules;
  for (const auto& [name, of_module] : sort_by_module(names)) {
    require_names(config, name, of_module);
    if (!rules.targets(name)) {
      throw bad_input("{} is there, but 'target_modules' of {} does not name {}", of_module.a,
                      PeftAdapter::kConfig, name);
    }
    PeftModule module{name, rules.lora_alpha(name), 0, checked(of_module.a, tensor(of_module.a), 2),
                      checked(of_module.b, tensor(of_module.b), 2)};
    if (config.use_dora) {
      module.magnitude = checked(of_module.magnitude, tensor(of_module.magnitude), 1);
    }
    const std::int64_t r = rules.r(name);
    require_shapes(module, of_module, r);
    module.scale = lora_scale(module.lora_alpha, r, config.use_rslora);
    modules.push_back(std::move(module));
  }
  if (modules.empty()) throw bad_input("holds no adapters");
  return modules;
}

PeftAdapter read_peft_adapter(const fs::path& directory) {
  const fs::path config = directory / PeftAdapter::kConfig;
  const fs::path tensors = directory / PeftAdapter::kTensors;
  if (!fs::is_regular_file(config)) {
    throw bad_input("{}: no {} there; expected a folder that PEFT's save_pretrained wrote",
                    directory.string(), PeftAdapter::kConfig);
  }
  if (!fs::exists(tensors) && fs::exists(directory / "adapter_model.bin")) {
    throw bad_input("{}: holds adapter_model.bin; save it as {} instead", directory.string(),
                    PeftAdapter::kTensors);
  }
  PeftAdapter adapter;
  const Json json = read_json(config);
  adapter.config = with_context(config.string(), [&] { return PeftConfig::parse(json); });
  const SafetensorsFile file = SafetensorsFile::open(tensors);
  adapter.modules = with_context(tensors.string(), [&] {
    return read_peft_modules(adapter.config, file.names(),
                             [&](const std::string& name) { return file.tensor(name); });
  });
  return adapter;
}

std::vector<NamedTensor> peft_tensors(const PeftAdapter& adapter) {
  std::vector<NamedTensor> tensors;
  for (const PeftModule& module : adapter.modules) {
    const auto name = [&](std::string_view end) {
      return fmt::format("{}{}{}", kPrefix, module.name, end);
    };
    tensors.push_back({name(kA), module.a});
    tensors.push_back({name(kB), module.b});
    if (module.magnitude) tensors.push_back({name(kMagnitude), *module.magnitude});
  }
  return tensors;
}

}  // namespace terse
