// Qwen3 with experts (Yang et al. 2025; transformers' modeling_qwen3_moe.py): every
// `decoder_sparse_step`-th layer, counted from 1, has them unless `mlp_only_layers` names it; the
// window, where it is used, is in all layers.
#include <cmath>

#include "support/reference_experts.h"
#include "support/reference_families.h"
#include "support/reference_rope.h"

namespace terse::test {
namespace {

bool has_experts(const nlohmann::json& config, int layer) {
  if ((layer + 1) % option(config, "decoder_sparse_step", 1) != 0) return false;
  for (const int dense : option(config, "mlp_only_layers", std::vector<int>())) {
    if (dense == layer) return false;
  }
  return true;
}

}  // namespace

Rows qwen3_moe_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                      const std::vector<int>& ids) {
  const int vocab = config.at("vocab_size");
  const int hidden = config.at("hidden_size");
  const int intermediate = config.at("intermediate_size");
  const int layers = config.at("num_hidden_layers");
  const int heads = config.at("num_attention_heads");
  const int kv_heads =
      config.contains("num_key_value_heads") ? option(config, "num_key_value_heads", heads) : 4;
  const int head_dim = option(config, "head_dim", hidden / heads);
  const double eps = option(config, "rms_norm_eps", 1e-6);
  const bool bias = option(config, "attention_bias", false);
  const bool tied = option(config, "tie_word_embeddings", false);
  const std::string act = option(config, "hidden_act", std::string("silu"));
  const int window =
      option(config, "use_sliding_window", false) ? option(config, "sliding_window", 4096) : 0;
  const Rope rope = make_rope(config, option(config, "rope_theta", 10000.0), head_dim,
                              static_cast<int>(ids.size()));
  ReferenceExperts experts{"",
                           "",
                           ".gate_proj",
                           ".up_proj",
                           ".down_proj",
                           option(config, "num_experts", 128),
                           option(config, "num_experts_per_tok", 8),
                           option(config, "norm_topk_prob", false),
                           option(config, "moe_intermediate_size", 768),
                           act};

  Rows x = embed(weights, "model.embed_tokens.weight", vocab, hidden, ids);
  for (int layer = 0; layer < layers; ++layer) {
    const std::string block = "model.layers." + std::to_string(layer) + ".";

    const Rows normed = rms_norm(weights, block + "input_layernorm", x, eps);
    const std::string self = block + "self_attn.";
    Rows q = linear(weights, self + "q_proj", normed, heads * head_dim, bias);
    Rows k = linear(weights, self + "k_proj", normed, kv_heads * head_dim, bias);
    const Rows v = linear(weights, self + "v_proj", normed, kv_heads * head_dim, bias);
    q = rms_norm_per_head(weights, self + "q_norm", q, head_dim, eps);
    k = rms_norm_per_head(weights, self + "k_norm", k, head_dim, eps);
    const Rows mixed = attention(rotate(q, head_dim, rope), rotate(k, head_dim, rope), v, heads,
                                 kv_heads, 1 / std::sqrt(head_dim), window);
    x = add(x, linear(weights, self + "o_proj", mixed, hidden, bias));

    const Rows normed2 = rms_norm(weights, block + "post_attention_layernorm", x, eps);
    const std::string mlp = block + "mlp.";
    if (has_experts(config, layer)) {
      experts.router = mlp + "gate";
      experts.experts = mlp + "experts.";
      x = add(x, expert_mlp(weights, experts, normed2));
      continue;
    }
    const Rows gate = linear(weights, mlp + "gate_proj", normed2, intermediate, false);
    const Rows up = linear(weights, mlp + "up_proj", normed2, intermediate, false);
    const Rows gated = multiply(activate(act, gate), up);
    x = add(x, linear(weights, mlp + "down_proj", gated, hidden, false));
  }
  x = rms_norm(weights, "model.norm", x, eps);
  return project(weights, tied ? "model.embed_tokens.weight" : "lm_head.weight", x, vocab);
}

}  // namespace terse::test
