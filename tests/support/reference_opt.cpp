// OPT (Zhang et al. 2022; transformers' modeling_opt.py): pre-norm, or post-norm as in the 350m
// model, which has no norm after its last block.
#include <cmath>

#include "support/reference_families.h"

namespace terse::test {

Rows opt_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                const std::vector<int>& ids) {
  const int vocab = config.at("vocab_size");
  const int hidden = config.at("hidden_size");
  const int ffn = config.at("ffn_dim");
  const int layers = config.at("num_hidden_layers");
  const int heads = config.at("num_attention_heads");
  const int longest = config.at("max_position_embeddings");
  const int word_dim = option(config, "word_embed_proj_dim", hidden);
  const bool before = option(config, "do_layer_norm_before", true);
  const bool bias = option(config, "enable_bias", true);
  const bool affine = option(config, "layer_norm_elementwise_affine", true);
  const bool final_norm = before && !option(config, "_remove_final_layer_norm", false);
  const bool tied = option(config, "tie_word_embeddings", true);
  const std::string act = option(config, "activation_function", std::string("relu"));
  const double eps = 1e-5;

  Rows x = embed(weights, "model.decoder.embed_tokens.weight", vocab, word_dim, ids);
  if (word_dim != hidden) x = linear(weights, "model.decoder.project_in", x, hidden, false);
  // The first two rows of the position table stand for padding.
  x = add(x, embed(weights, "model.decoder.embed_positions.weight", longest + 2, hidden,
                   positions(static_cast<int>(ids.size()), 2)));
  for (int layer = 0; layer < layers; ++layer) {
    const std::string block = "model.decoder.layers." + std::to_string(layer) + ".";

    const std::string norm1 = block + "self_attn_layer_norm";
    const Rows input = before ? layer_norm(weights, norm1, x, eps, affine) : x;
    const std::string self = block + "self_attn.";
    const Rows q = linear(weights, self + "q_proj", input, hidden, bias);
    const Rows k = linear(weights, self + "k_proj", input, hidden, bias);
    const Rows v = linear(weights, self + "v_proj", input, hidden, bias);
    const Rows mixed = attention(q, k, v, heads, heads, 1 / std::sqrt(hidden / heads), 0);
    x = add(x, linear(weights, self + "out_proj", mixed, hidden, bias));
    if (!before) x = layer_norm(weights, norm1, x, eps, affine);

    const std::string norm2 = block + "final_layer_norm";
    const Rows input2 = before ? layer_norm(weights, norm2, x, eps, affine) : x;
    const Rows wide = activate(act, linear(weights, block + "fc1", input2, ffn, bias));
    x = add(x, linear(weights, block + "fc2", wide, hidden, bias));
    if (!before) x = layer_norm(weights, norm2, x, eps, affine);
  }
  if (final_norm) x = layer_norm(weights, "model.decoder.final_layer_norm", x, eps, affine);
  if (word_dim != hidden) x = linear(weights, "model.decoder.project_out", x, word_dim, false);
  return project(weights, tied ? "model.decoder.embed_tokens.weight" : "lm_head.weight", x, vocab);
}

}  // namespace terse::test
