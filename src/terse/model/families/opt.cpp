// OPT (Zhang et al., arXiv 2205.01068): learned positions from row 2, ReLU, biases everywhere; the
// 350M model norms after the sums and projects its embeddings.
#include "terse/model/family.h"

namespace terse {
namespace {

const FamilyRegistration registration("opt", [](const Json& config) {
  Architecture a;
  read_sizes(config, a);
  a.intermediate_size = get_integer(config, "ffn_dim");
  a.activation = read_activation(config, "activation_function", "relu");
  a.norm = NormKind::layer;
  a.norm_eps = 1e-5;
  a.norm_affine = get_bool(config, "layer_norm_elementwise_affine", true);
  a.norm_after = !get_bool(config, "do_layer_norm_before", true);
  a.final_norm = !a.norm_after && !get_bool(config, "_remove_final_layer_norm", false);
  a.learned_positions = true;
  a.position_offset = 2;
  a.tie_word_embeddings = get_bool(config, "tie_word_embeddings", true);
  a.embedding_size = get_integer(config, "word_embed_proj_dim", a.hidden_size);
  a.projected_embeddings = a.embedding_size != a.hidden_size;
  a.prefix = "model.decoder.";
  a.linears = {{LinearRole::q_proj, "layers.{}.self_attn.q_proj"},
               {LinearRole::k_proj, "layers.{}.self_attn.k_proj"},
               {LinearRole::v_proj, "layers.{}.self_attn.v_proj"},
               {LinearRole::o_proj, "layers.{}.self_attn.out_proj"},
               {LinearRole::up_proj, "layers.{}.fc1"},
               {LinearRole::down_proj, "layers.{}.fc2"}};
  if (get_bool(config, "enable_bias", true)) {
    for (const auto& entry : a.linears) a.biases.insert(entry.first);
  }
  a.norms = {{NormRole::attention, "layers.{}.self_attn_layer_norm"},
             {NormRole::mlp, "layers.{}.final_layer_norm"}};
  if (a.final_norm) a.norms[NormRole::final] = "final_layer_norm";
  a.embedding = "embed_tokens";
  a.positions = "embed_positions";
  a.project_in = "project_in";
  a.project_out = "project_out";
  a.head = "lm_head";
  return a;
});

}  // namespace
}  // namespace terse
