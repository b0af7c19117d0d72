// Llama (Touvron et al., arXiv 2302.13971; arXiv 2407.21783): transformers, models/llama.
#include "terse/model/family.h"

namespace terse {
namespace {

const FamilyRegistration registration("llama", [](const Json& config) {
  Architecture a = llama_like(config);
  if (get_bool(config, "attention_bias", false)) {
    a.biases.insert(
        {LinearRole::q_proj, LinearRole::k_proj, LinearRole::v_proj, LinearRole::o_proj});
  }
  if (get_bool(config, "mlp_bias", false)) {
    a.biases.insert({LinearRole::gate_proj, LinearRole::up_proj, LinearRole::down_proj});
  }
  return a;
});

}  // namespace
}  // namespace terse
