// GPT-NeoX (Black et al. 2022; transformers' modeling_gpt_neox.py), also Pythia.
#include <cmath>

#include "support/reference_families.h"
#include "support/reference_rope.h"

namespace terse::test {
namespace {

// The fused projection holds, head after head, the head's query, key and value; part 0, 1 or 2.
Rows part_of(const Rows& qkv, int part, int heads, int head_dim) {
  Rows y;
  for (const auto& row : qkv) {
    y.emplace_back();
    for (int h = 0; h < heads; ++h) {
      const auto begin = row.begin() + (3 * h + part) * head_dim;
      y.back().insert(y.back().end(), begin, begin + head_dim);
    }
  }
  return y;
}

}  // namespace

Rows gpt_neox_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                     const std::vector<int>& ids) {
  const int vocab = config.at("vocab_size");
  const int hidden = config.at("hidden_size");
  const int intermediate = config.at("intermediate_size");
  const int layers = config.at("num_hidden_layers");
  const int heads = config.at("num_attention_heads");
  const int head_dim = hidden / heads;
  const double eps = option(config, "layer_norm_eps", 1e-5);
  const bool parallel = option(config, "use_parallel_residual", true);
  const bool bias = option(config, "attention_bias", true);
  const bool tied = option(config, "tie_word_embeddings", false);
  const std::string act = option(config, "hidden_act", std::string("gelu"));
  const double rotary_pct =
      option(rope_parameters(config), "partial_rotary_factor", option(config, "rotary_pct", 0.25));
  const int rotary_dim = static_cast<int>(head_dim * rotary_pct);
  const Rope rope = make_rope(config, option(config, "rotary_emb_base", 10000.0), rotary_dim,
                              static_cast<int>(ids.size()));

  Rows x = embed(weights, "gpt_neox.embed_in.weight", vocab, hidden, ids);
  for (int layer = 0; layer < layers; ++layer) {
    const std::string block = "gpt_neox.layers." + std::to_string(layer) + ".";

    const Rows normed = layer_norm(weights, block + "input_layernorm", x, eps, true);
    const Rows qkv = linear(weights, block + "attention.query_key_value", normed, 3 * hidden, bias);
    const Rows q = rotate(part_of(qkv, 0, heads, head_dim), head_dim, rope);
    const Rows k = rotate(part_of(qkv, 1, heads, head_dim), head_dim, rope);
    const Rows v = part_of(qkv, 2, heads, head_dim);
    const Rows mixed = attention(q, k, v, heads, heads, 1 / std::sqrt(head_dim), 0);
    const Rows attended = add(x, linear(weights, block + "attention.dense", mixed, hidden, bias));

    const Rows& input2 = parallel ? x : attended;
    const Rows normed2 = layer_norm(weights, block + "post_attention_layernorm", input2, eps, true);
    const Rows wide =
        activate(act, linear(weights, block + "mlp.dense_h_to_4h", normed2, intermediate, true));
    x = add(attended, linear(weights, block + "mlp.dense_4h_to_h", wide, hidden, true));
  }
  x = layer_norm(weights, "gpt_neox.final_layer_norm", x, eps, true);
  return project(weights, tied ? "gpt_neox.embed_in.weight" : "embed_out.weight", x, vocab);
}

}  // namespace terse::test
