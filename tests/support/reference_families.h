// One function per family, each written out straight in its own file; see reference_model.h.
#pragma once

#include "support/reference_math.h"
#include "support/reference_model.h"

namespace terse::test {

Rows llama_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                  const std::vector<int>& ids);
Rows mistral_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                    const std::vector<int>& ids);
Rows mixtral_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                    const std::vector<int>& ids);
Rows qwen2_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                  const std::vector<int>& ids);
Rows qwen3_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                  const std::vector<int>& ids);
Rows qwen3_moe_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                      const std::vector<int>& ids);
Rows gpt2_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                 const std::vector<int>& ids);
Rows opt_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                const std::vector<int>& ids);
Rows gpt_neox_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                     const std::vector<int>& ids);

}  // namespace terse::test
