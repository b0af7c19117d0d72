// Mixtral (Jiang et al., arXiv 2401.04088): Mistral with experts in every block.
#include "terse/model/family.h"

namespace terse {
namespace {

const FamilyRegistration registration("mixtral", [](const Json& config) {
  Json complete = config;
  if (!has_key(config, "rms_norm_eps")) complete["rms_norm_eps"] = 1e-5;
  if (!has_key(config, "rope_theta")) complete["rope_theta"] = 1e6;
  Architecture a = llama_like(complete, 8);
  a.sliding_window.assign(a.sliding_window.size(), get_integer(config, "sliding_window", 0));
  a.num_experts = get_integer(config, "num_local_experts", 8);
  a.experts = {get_integer(config, "num_experts_per_tok", 2),
               true,
               "layers.{}.block_sparse_moe.gate",
               {{LinearRole::gate_proj, "layers.{}.block_sparse_moe.experts.{e}.w1"},
                {LinearRole::up_proj, "layers.{}.block_sparse_moe.experts.{e}.w3"},
                {LinearRole::down_proj, "layers.{}.block_sparse_moe.experts.{e}.w2"}}};
  for (const auto& entry : a.experts.linears) a.linears.erase(entry.first);
  return a;
});

}  // namespace
}  // namespace terse
