// GPT-NeoX and Pythia (Black et al., arXiv 2204.06745): attention and MLP in parallel, rotary
// positions on a part of each head, q/k/v fused head by head.
#include <cmath>

#include "terse/core/error.h"
#include "terse/model/family.h"

namespace terse {
namespace {

const FamilyRegistration registration("gpt_neox", [](const Json& config) {
  Architecture a;
  read_sizes(config, a);
  a.intermediate_size = get_integer(config, "intermediate_size");
  a.activation = read_activation(config, "hidden_act", "gelu");
  a.norm = NormKind::layer;
  a.norm_eps = get_number(config, "layer_norm_eps", 1e-5);
  a.parallel_residual = get_bool(config, "use_parallel_residual", true);
  a.tie_word_embeddings = get_bool(config, "tie_word_embeddings", false);
  Json rope = config;
  double share = get_number(config, "rotary_pct", 0.25);
  if (has_key(config, "rope_parameters")) {
    share = get_number(config.at("rope_parameters"), "partial_rotary_factor", share);
  }
  if (!(share > 0 && share <= 1))
    throw bad_input("rotary_pct is {}; expected above 0, up to 1", share);
  if (!has_key(config, "rope_theta"))
    rope["rope_theta"] = get_number(config, "rotary_emb_base", 10000.0);
  a.rope.dimensions = static_cast<std::int64_t>(static_cast<double>(a.head_dim) * share);
  read_rope(rope, a);
  a.fused_layout = FusedLayout::heads;
  a.prefix = "gpt_neox.";
  a.linears = {{LinearRole::qkv_proj, "layers.{}.attention.query_key_value"},
               {LinearRole::o_proj, "layers.{}.attention.dense"},
               {LinearRole::up_proj, "layers.{}.mlp.dense_h_to_4h"},
               {LinearRole::down_proj, "layers.{}.mlp.dense_4h_to_h"}};
  a.biases = {LinearRole::up_proj, LinearRole::down_proj};
  if (get_bool(config, "attention_bias", true)) {
    a.biases.insert({LinearRole::qkv_proj, LinearRole::o_proj});
  }
  a.norms = {{NormRole::attention, "layers.{}.input_layernorm"},
             {NormRole::mlp, "layers.{}.post_attention_layernorm"},
             {NormRole::final, "final_layer_norm"}};
  a.embedding = "embed_in";
  a.head = "embed_out";
  return a;
});

}  // namespace
}  // namespace terse
