#include "support/reference_model.h"

#include <stdexcept>

#include "support/reference_families.h"

namespace terse::test {

std::vector<std::vector<double>> reference_logits(const nlohmann::json& config,
                                                  const ReferenceWeights& weights,
                                                  const std::vector<int>& ids) {
  const std::string family = config.at("model_type").get<std::string>();
  if (family == "llama") return llama_logits(config, weights, ids);
  if (family == "mistral") return mistral_logits(config, weights, ids);
  if (family == "mixtral") return mixtral_logits(config, weights, ids);
  if (family == "qwen2") return qwen2_logits(config, weights, ids);
  if (family == "qwen3") return qwen3_logits(config, weights, ids);
  if (family == "qwen3_moe") return qwen3_moe_logits(config, weights, ids);
  if (family == "gpt2") return gpt2_logits(config, weights, ids);
  if (family == "opt") return opt_logits(config, weights, ids);
  if (family == "gpt_neox") return gpt_neox_logits(config, weights, ids);
  throw std::runtime_error("the reference does not know the model type \"" + family + "\"");
}

}  // namespace terse::test
