// Qwen2 (Yang et al. 2024; transformers' modeling_qwen2.py): q, k and v have biases, o has none;
// the layers from max_window_layers up may use a sliding window.
#include <cmath>

#include "support/reference_families.h"
#include "support/reference_rope.h"

namespace terse::test {
namespace {

int window_of(const nlohmann::json& config, int layer) {
  if (!option(config, "use_sliding_window", false)) return 0;
  const int window = config.contains("sliding_window") ? option(config, "sliding_window", 0) : 4096;
  const auto types = config.find("layer_types");
  if (types != config.end() && !types->is_null()) {
    return types->at(layer) == "sliding_attention" ? window : 0;
  }
  return layer >= option(config, "max_window_layers", 28) ? window : 0;
}

}  // namespace

Rows qwen2_logits(const nlohmann::json& config, const ReferenceWeights& weights,
                  const std::vector<int>& ids) {
  const int vocab = config.at("vocab_size");
  const int hidden = config.at("hidden_size");
  const int intermediate = config.at("intermediate_size");
  const int layers = config.at("num_hidden_layers");
  const int heads = config.at("num_attention_heads");
  const int kv_heads =
      config.contains("num_key_value_heads") ? option(config, "num_key_value_heads", heads) : 32;
  const int head_dim = option(config, "head_dim", hidden / heads);
  const double eps = option(config, "rms_norm_eps", 1e-6);
  const bool tied = option(config, "tie_word_embeddings", false);
  const std::string act = option(config, "hidden_act", std::string("silu"));
  const Rope rope = make_rope(config, option(config, "rope_theta", 10000.0), head_dim,
                              static_cast<int>(ids.size()));

  Rows x = embed(weights, "model.embed_tokens.weight", vocab, hidden, ids);
  for (int layer = 0; layer < layers; ++layer) {
    const std::string block = "model.layers." + std::to_string(layer) + ".";

    const Rows normed = rms_norm(weights, block + "input_layernorm", x, eps);
    const std::string self = block + "self_attn.";
    const Rows q = linear(weights, self + "q_proj", normed, heads * head_dim, true);
    const Rows k = linear(weights, self + "k_proj", normed, kv_heads * head_dim, true);
    const Rows v = linear(weights, self + "v_proj", normed, kv_heads * head_dim, true);
    const Rows mixed = attention(rotate(q, head_dim, rope), rotate(k, head_dim, rope), v, heads,
                                 kv_heads, 1 / std::sqrt(head_dim), window_of(config, layer));
    x = add(x, linear(weights, self + "o_proj", mixed, hidden, false));

    const Rows normed2 = rms_norm(weights, block + "post_attention_layernorm", x, eps);
    const std::string mlp = block + "mlp.";
    const Rows gate = linear(weights, mlp + "gate_proj", normed2, intermediate, false);
    const Rows up = linear(weights, mlp + "up_proj", normed2, intermediate, false);
    const Rows gated = multiply(activate(act, gate), up);
    x = add(x, linear(weights, mlp + "down_proj", gated, hidden, false));
  }
  x = rms_norm(weights, "model.norm", x, eps);
  return project(weights, tied ? "model.embed_tokens.weight" : "lm_head.weight", x, vocab);
}

}  // namespace terse::test
