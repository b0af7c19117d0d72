// Tiny checkpoints with random weights, several of every supported family, in memory and on disk.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support/reference_model.h"

namespace terse::test {

// A config.json and the tensors it asks for, by their canonical names (see ReferenceWeights); every
// value is a float32.
struct RandomCheckpoint {
  nlohmann::json config;
  ReferenceWeights weights;
};

// Weights for the config, the same in every run and on every machine; `name` seeds them. Norms are
// near 1, biases near 0 and never all zero, logits O(1), attention far from uniform.
RandomCheckpoint random_checkpoint(const std::string& name, const nlohmann::json& config);

// The config of every variant by its name, e.g. "llama_rope_yarn". All have 67 words, 2 or 3
// layers, 4 heads, and take sequences of 40 tokens, longer than the original length of every scaled
// rope.
std::vector<std::pair<std::string, nlohmann::json>> random_configs();

// The checkpoints of all of them.
std::vector<std::pair<std::string, RandomCheckpoint>> random_checkpoints();

// Which of the two names a tied matrix is stored under.
enum class TiedName { kEmbedding, kHead, kBoth };

// How files on the hub differ from the canonical names.
struct CheckpointLayout {
  // false: without the base-model prefix ("h.0.ln_1.weight", "decoder.layers.0.fc1.weight"), as the
  // base class saves itself; heads keep their names.
  bool base_model_prefix = true;
  TiedName tied = TiedName::kEmbedding;
  // Adds the masks and rotary tables that older releases saved beside the weights and that every
  // reader ignores; GPT-2's and GPT-NeoX's end in "attn.bias" and "attention.bias".
  bool legacy_buffers = false;
};

// The same checkpoint as it reads back from a file of this dtype ("F32", "F16", "BF16").
RandomCheckpoint rounded(RandomCheckpoint checkpoint, const std::string& dtype);

// Writes config.json, with its torch_dtype, and model.safetensors into the directory, which is made
// if need be. Values are rounded to the dtype.
void write_checkpoint(const RandomCheckpoint& checkpoint, const std::filesystem::path& directory,
                      const std::string& dtype, const CheckpointLayout& layout = {});

}  // namespace terse::test
