// Qwen3 with experts (arXiv 2505.09388): in some of its blocks, or in all, an MLP of the usual size
// is replaced by many small ones.
#include <algorithm>

#include "terse/core/error.h"
#include "terse/model/family.h"

namespace terse {
namespace {

bool listed(const Json& blocks, std::int64_t block) {
  return std::ranges::find(blocks, Json(block)) != blocks.end();
}

// Blocks have experts as `decoder_sparse_step` and `mlp_only_layers` say.
void read_shapes(const Json& config, Architecture& a) {
  const BlockShape dense{a.num_attention_heads, a.num_key_value_heads, a.intermediate_size};
  BlockShape sparse = dense;
  sparse.intermediate_size = get_integer(config, "moe_intermediate_size", 768);
  sparse.num_experts = a.num_experts;
  const std::int64_t step = get_integer(config, "decoder_sparse_step", 1);
  if (step < 1) throw bad_input("decoder_sparse_step is {}; expected 1 or more", step);
  const Json without =
      has_key(config, "mlp_only_layers") ? get_array(config, "mlp_only_layers") : Json::array();
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    const bool has_experts = (block + 1) % step == 0 && !listed(without, block);
    a.block_shapes.push_back(has_experts ? sparse : dense);
  }
  if (std::ranges::count(a.block_shapes, sparse) != a.num_hidden_layers) {
    a.intermediate_size = std::max(a.intermediate_size, sparse.intermediate_size);
    return;
  }
  a.intermediate_size = sparse.intermediate_size;
  a.block_shapes.clear();
}

const FamilyRegistration registration("qwen3_moe", [](const Json& config) {
  Architecture a = llama_like(config, 4);
  if (get_bool(config, "attention_bias", false)) {
    a.biases = {LinearRole::q_proj, LinearRole::k_proj, LinearRole::v_proj, LinearRole::o_proj};
  }
  a.qk_norm = true;
  a.norms[NormRole::q_norm] = "layers.{}.self_attn.q_norm";
  a.norms[NormRole::k_norm] = "layers.{}.self_attn.k_norm";
  if (get_bool(config, "use_sliding_window", false)) {
    a.sliding_window.assign(a.sliding_window.size(), get_integer(config, "sliding_window", 4096));
  }
  const char* count = has_key(config, "num_local_experts") ? "num_local_experts" : "num_experts";
  a.num_experts = get_integer(config, count, 128);
  a.experts = {get_integer(config, "num_experts_per_tok", 8),
               get_bool(config, "norm_topk_prob", false),
               "layers.{}.mlp.gate",
               {{LinearRole::gate_proj, "layers.{}.mlp.experts.{e}.gate_proj"},
                {LinearRole::up_proj, "layers.{}.mlp.experts.{e}.up_proj"},
                {LinearRole::down_proj, "layers.{}.mlp.experts.{e}.down_proj"}}};
  read_shapes(config, a);
  return a;
});

}  // namespace
}  // namespace terse
