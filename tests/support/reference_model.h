// An independent straight-line reference of every supported model family.
//
// The definitions follow the families' code in Hugging Face transformers (modeling_*.py and
// modeling_rope_utils.py) and share nothing with the product: naive loops in double precision, no
// cache, one sequence. The product's forward pass is tested against it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace terse::test {

// A row-major tensor; every value of it is representable in the checkpoint's dtype.
struct ReferenceTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> values;
};

// Tensors by the names that the family's `...ForCausalLM` class uses, with the base-model prefix
// ("model.", "transformer.", "gpt_neox."). A tied head has no tensor of its own.
using ReferenceWeights = std::map<std::string, ReferenceTensor>;

// The logits [positions][vocab] of one sequence; config["model_type"] chooses the family: llama,
// mistral, mixtral, qwen2, qwen3, qwen3_moe, gpt2, opt or gpt_neox. Keys that the config leaves out
// take the defaults of the family's configuration class. Throws std::runtime_error on a missing or
// misshapen tensor, an id outside of the vocabulary, or an option that the reference does not know.
std::vector<std::vector<double>> reference_logits(const nlohmann::json& config,
                                                  const ReferenceWeights& weights,
                                                  const std::vector<int>& ids);

}  // namespace terse::test
