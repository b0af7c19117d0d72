// Mixtral (Jiang et al. 2024; transformers' modeling_mixtral.py): Mistral, whose MLPs are experts;
// the shares of those that a position takes sum to one.
#include <cmath>

#include "support/reference_experts.h"
#include "support/reference_families.h"
#include "support/reference_rope.h"

namespace terse::test {

Rows mixtral_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                    const std::vector<int>& ids) {
  const int vocab = config.at("vocab_size");
  const int hidden = config.at("hidden_size");
  const int layers = config.at("num_hidden_layers");
  const int heads = config.at("num_attention_heads");
  const int kv_heads =
      config.contains("num_key_value_heads") ? option(config, "num_key_value_heads", heads) : 8;
  const int head_dim = option(config, "head_dim", hidden / heads);
  const double eps = option(config, "rms_norm_eps", 1e-5);
  const int window = option(config, "sliding_window", 0);
  const bool tied = option(config, "tie_word_embeddings", false);
  const Rope rope = make_rope(config, option(config, "rope_theta", 1000000.0), head_dim,
                              static_cast<int>(ids.size()));
  ReferenceExperts experts{"",
                           "",
                           ".w1",
                           ".w3",
                           ".w2",
                           option(config, "num_local_experts", 8),
                           option(config, "num_experts_per_tok", 2),
                           true,
                           config.at("intermediate_size"),
                           option(config, "hidden_act", std::string("silu"))};

  Rows x = embed(weights, "model.embed_tokens.weight", vocab, hidden, ids);
  for (int layer = 0; layer < layers; ++layer) {
    const std::string block = "model.layers." + std::to_string(layer) + ".";

    const Rows normed = rms_norm(weights, block + "input_layernorm", x, eps);
    const std::string self = block + "self_attn.";
    const Rows q = linear(weights, self + "q_proj", normed, heads * head_dim, false);
    const Rows k = linear(weights, self + "k_proj", normed, kv_heads * head_dim, false);
    const Rows v = linear(weights, self + "v_proj", normed, kv_heads * head_dim, false);
    const Rows mixed = attention(rotate(q, head_dim, rope), rotate(k, head_dim, rope), v, heads,
                                 kv_heads, 1 / std::sqrt(head_dim), window);
    x = add(x, linear(weights, self + "o_proj", mixed, hidden, false));

    const Rows normed2 = rms_norm(weights, block + "post_attention_layernorm", x, eps);
    experts.router = block + "block_sparse_moe.gate";
    experts.experts = block + "block_sparse_moe.experts.";
    x = add(x, expert_mlp(weights, experts, normed2));
  }
  x = rms_norm(weights, "model.norm", x, eps);
  return project(weights, tied ? "model.embed_tokens.weight" : "lm_head.weight", x, vocab);
}

}  // namespace terse::test
