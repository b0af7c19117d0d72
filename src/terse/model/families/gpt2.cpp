// GPT-2 (Radford et al., 2019): learned positions, fused q/k/v, weights stored [in, out] (Conv1D).
#include <cmath>

#include "terse/model/family.h"

namespace terse {
namespace {

// The family's own names of the sizes.
Json with_usual_names(const Json& config) {
  Json usual = config;
  usual["hidden_size"] = get_integer(config, "n_embd");
  usual["num_hidden_layers"] = get_integer(config, "n_layer");
  usual["num_attention_heads"] = get_integer(config, "n_head");
  usual["max_position_embeddings"] = get_integer(config, "n_positions");
  return usual;
}

void read_scales(const Json& config, Architecture& a) {
  const bool by_width = get_bool(config, "scale_attn_weights", true);
  const bool by_block = get_bool(config, "scale_attn_by_inverse_layer_idx", false);
  for (std::size_t i = 0; i < a.attention_scale.size(); ++i) {
    a.attention_scale[i] = by_width ? a.attention_scale[i] : 1.0;
    if (by_block) a.attention_scale[i] /= static_cast<double>(i + 1);
  }
}

const FamilyRegistration registration("gpt2", [](const Json& config) {
  Architecture a;
  read_sizes(with_usual_names(config), a);
  read_scales(config, a);
  require_value(config, "add_cross_attention", false);
  a.intermediate_size = get_integer(config, "n_inner", 4 * a.hidden_size);
  a.activation = read_activation(config, "activation_function", "gelu_new");
  a.norm = NormKind::layer;
  a.norm_eps = get_number(config, "layer_norm_epsilon", 1e-5);
  a.learned_positions = true;
  a.tie_word_embeddings = get_bool(config, "tie_word_embeddings", true);
  a.conv1d = true;
  a.fused_layout = FusedLayout::blocks;
  a.prefix = "transformer.";
  a.linears = {{LinearRole::qkv_proj, "h.{}.attn.c_attn"},
               {LinearRole::o_proj, "h.{}.attn.c_proj"},
               {LinearRole::up_proj, "h.{}.mlp.c_fc"},
               {LinearRole::down_proj, "h.{}.mlp.c_proj"}};
  a.biases = {LinearRole::qkv_proj, LinearRole::o_proj, LinearRole::up_proj, LinearRole::down_proj};
  a.norms = {
      {NormRole::attention, "h.{}.ln_1"}, {NormRole::mlp, "h.{}.ln_2"}, {NormRole::final, "ln_f"}};
  a.embedding = "wte";
  a.positions = "wpe";
  a.head = "lm_head";
  return a;
});

}  // namespace
}  // namespace terse
