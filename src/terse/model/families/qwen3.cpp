// Qwen3 (arXiv 2505.09388): Llama with RMS norms on the query and key heads.
#include "terse/model/families/qwen.h"

namespace terse {
namespace {

const FamilyRegistration registration("qwen3", [](const Json& config) {
  Json complete = config;
  if (!has_key(config, "head_dim")) complete["head_dim"] = 128;
  Architecture a = llama_like(complete, 32);
  if (get_bool(config, "attention_bias", false)) {
    a.biases = {LinearRole::q_proj, LinearRole::k_proj, LinearRole::v_proj, LinearRole::o_proj};
  }
  a.qk_norm = true;
  a.norms[NormRole::q_norm] = "layers.{}.self_attn.q_norm";
  a.norms[NormRole::k_norm] = "layers.{}.self_attn.k_norm";
  read_qwen_windows(config, 28, a);
  return a;
});

}  // namespace
}  // namespace terse
