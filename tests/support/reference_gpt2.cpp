// GPT-2 (Radford et al. 2019; transformers' modeling_gpt2.py).
#include <cmath>

#include "support/reference_families.h"

namespace terse::test {

Rows gpt2_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                 const std::vector<int>& ids) {
  const int vocab = config.at("vocab_size");
  const int hidden = config.at("n_embd");
  const int inner = option(config, "n_inner", 4 * hidden);
  const int layers = config.at("n_layer");
  const int heads = config.at("n_head");
  const int longest = config.at("n_positions");
  const double eps = option(config, "layer_norm_epsilon", 1e-5);
  const bool scaled = option(config, "scale_attn_weights", true);
  const bool scaled_by_layer = option(config, "scale_attn_by_inverse_layer_idx", false);
  const bool tied = option(config, "tie_word_embeddings", true);
  const std::string act = option(config, "activation_function", std::string("gelu_new"));

  Rows x = add(embed(weights, "transformer.wte.weight", vocab, hidden, ids),
               embed(weights, "transformer.wpe.weight", longest, hidden,
                     positions(static_cast<int>(ids.size()))));
  for (int layer = 0; layer < layers; ++layer) {
    const std::string block = "transformer.h." + std::to_string(layer) + ".";

    const Rows normed = layer_norm(weights, block + "ln_1", x, eps, true);
    const Rows qkv = conv1d(weights, block + "attn.c_attn", normed, 3 * hidden);
    const Rows q = columns(qkv, 0, hidden);
    const Rows k = columns(qkv, hidden, hidden);
    const Rows v = columns(qkv, 2 * hidden, hidden);
    double scale = scaled ? 1 / std::sqrt(hidden / heads) : 1;
    if (scaled_by_layer) scale /= layer + 1;
    const Rows mixed = attention(q, k, v, heads, heads, scale, 0);
    x = add(x, conv1d(weights, block + "attn.c_proj", mixed, hidden));

    const Rows normed2 = layer_norm(weights, block + "ln_2", x, eps, true);
    const Rows wide = activate(act, conv1d(weights, block + "mlp.c_fc", normed2, inner));
    x = add(x, conv1d(weights, block + "mlp.c_proj", wide, hidden));
  }
  x = layer_norm(weights, "transformer.ln_f", x, eps, true);
  return project(weights, tied ? "transformer.wte.weight" : "lm_head.weight", x, vocab);
}

}  // namespace terse::test
