#include "terse/model/synthetic.h"

#include <fmt/ranges.h>
#include <stdlib.h>  // mkdtemp

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/formats/terse_config.h"
#include "terse/model/initial_weights.h"

namespace terse {
namespace {

struct SyntheticShape {
  const char* name;
  const char* family;
  std::int64_t hidden;
  std::int64_t blocks;
  std::int64_t heads;
  std::int64_t key_value_heads;
  std::int64_t intermediate;
  std::int64_t vocabulary;
  bool tied;
  std::int64_t context;
  double rope_theta;
};

// TinyLlama-1.1B, Llama-3-8B and Qwen2-0.5B; "tiny" is for trying things out.
constexpr SyntheticShape kShapes[] = {
    {"llama-1b", "llama", 2048, 22, 32, 4, 5632, 32000, false, 2048, 1e4},
    {"llama-8b", "llama", 4096, 32, 32, 8, 14336, 128256, false, 8192, 5e5},
    {"qwen2-0.5b", "qwen2", 896, 24, 14, 2, 4864, 151936, true, 32768, 1e6},
    {"tiny", "llama", 256, 6, 4, 2, 768, 4096, false, 2048, 1e4},
};

constexpr int kBfloat16Bits = 16;

const SyntheticShape& shape_named(const std::string& name) {
  const auto* found = std::ranges::find(kShapes, name, &SyntheticShape::name);
  if (found != std::end(kShapes)) return *found;
  throw bad_usage("shape '{}' is unknown; choose {}", name, fmt::join(synthetic_shapes(), ", "));
}

Json config_of(const SyntheticShape& shape) {
  return {{"model_type", shape.family},
          {"hidden_size", shape.hidden},
          {"num_hidden_layers", shape.blocks},
          {"num_attention_heads", shape.heads},
          {"num_key_value_heads", shape.key_value_heads},
          {"intermediate_size", shape.intermediate},
          {"vocab_size", shape.vocabulary},
          {"tie_word_embeddings", shape.tied},
          {"max_position_embeddings", shape.context},
          {"rope_theta", shape.rope_theta},
          {"hidden_act", "silu"},
          {"rms_norm_eps", 1e-5},
          {"torch_dtype", "bfloat16"}};
}

GeneratedScheme scheme_of(const SyntheticOptions& options) {
  GeneratedScheme scheme{.group_size = options.group_size};
  if (options.bits != kBfloat16Bits) scheme.bits = options.bits;
  return scheme;
}

void check(const SyntheticOptions& options) {
  if (options.bits != kBfloat16Bits && (options.bits < 2 || options.bits > 8)) {
    throw bad_usage("{} bits; expected 2 to 8, or 16 for bfloat16", options.bits);
  }
}

void check_columns(const SyntheticOptions& options, const InitialTensor& tensor) {
  if (options.bits == kBfloat16Bits || tensor.shape[1] % options.group_size == 0) return;
  throw bad_usage("groups of {} do not divide the {} columns of {}", options.group_size,
                  tensor.shape[1], tensor.name);
}

// What the config says of the weights, and the tensors that a file holds.
struct SyntheticParts {
  TerseConfig storage;
  std::vector<NamedTensor> vectors;
};

SyntheticParts parts_of(const SyntheticOptions& options, const Architecture& architecture) {
  const std::string ends[] = {architecture.prefix + architecture.embedding, architecture.head};
  StorageGroup whole;
  StorageGroup pruned;
  SyntheticParts parts;
  for (const InitialTensor& tensor : initial_tensors(architecture)) {
    if (tensor.shape.size() == 1) {
      const Vector values =
          Vector::Constant(tensor.shape[0], tensor.values == InitialValues::ones ? 1.0F : 0.0F);
      parts.vectors.push_back({tensor.name, Tensor::from_vector(DType::f32, values)});
      continue;
    }
    check_columns(options, tensor);
    const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
    const bool at_end = std::ranges::find(ends, module) != std::end(ends);
    (at_end || !options.sparsity ? whole : pruned).targets.push_back(module);
  }
  GeneratedScheme scheme = scheme_of(options);
  whole.storage = to_json(scheme);
  scheme.sparsity = options.sparsity;
  pruned.storage = to_json(scheme);
  parts.storage.groups = {whole, pruned};
  if (!options.sparsity) parts.storage.groups.pop_back();
  return parts;
}

// A directory that is gone when this is.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "terse-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw failure("{}: cannot be made: {}", name, std::generic_category().message(errno));
    }
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

std::vector<std::string> synthetic_shapes() {
  std::vector<std::string> names;
  for (const SyntheticShape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

std::string synthetic_name(const SyntheticOptions& options) {
  GeneratedScheme scheme = scheme_of(options);
  scheme.sparsity = options.sparsity;
  std::string name = fmt::format("{}, {}", options.shape, generated_kind(scheme));
  const bool bitmap = options.sparsity && options.sparsity->layout == SparseLayout::bitmap;
  return bitmap ? fmt::format("{} {}", name, options.sparsity->share) : name;
}

Model open_synthetic(const SyntheticOptions& options, ActivationType activations) {
  check(options);
  Json config = config_of(shape_named(options.shape));
  const SyntheticParts parts = parts_of(options, parse_architecture(config));
  config["terse_config"] = parts.storage.to_json();
  // Files that are open and mapped stay readable when their directory is gone.
  const Scratch scratch;
  write_file(scratch.path() / "config.json", config.dump());
  write_safetensors(scratch.path() / "model.safetensors", parts.vectors);
  return Model::open(scratch.path(), activations);
}

}  // namespace terse
