#include "support/random_weights.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "support/reference_math.h"

namespace terse::test {
namespace {

// SplitMix64 (Steele et al. 2014).
class Generator {
 public:
  explicit Generator(const std::string& seed) {
    // FNV-1a of the seed.
    for (const char c : seed) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }

  // Zero mean, unit variance: the sum of twelve uniforms (Irwin-Hall), so that no result depends on
  // a mathematics library.
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(next() >> 11) * 0x1p-53;
    return sum;
  }

 private:
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
  }

  std::uint64_t state_ = 0xcbf29ce484222325U;
};

// Queries and keys are larger than the rest, so that some positions draw most of the attention.
constexpr double kSharp = 1.5;
constexpr double kWordDeviation = 0.4;

// Routers are sharp, so that what an expert's share is shows.
void experts(RandomWeights& weights, const nlohmann::json& config, const std::string& block) {
  const bool mixtral = config.at("model_type") == "mixtral";
  const int hidden = config.at("hidden_size");
  const int intermediate = config.at(mixtral ? "intermediate_size" : "moe_intermediate_size");
  const int count = config.at(mixtral ? "num_local_experts" : "num_experts");
  const std::string mlp = block + (mixtral ? "block_sparse_moe." : "mlp.");
  weights.linear(mlp + "gate", count, hidden, false, kSharp);
  for (int expert = 0; expert < count; ++expert) {
    const std::string name = mlp + "experts." + std::to_string(expert);
    weights.linear(name + (mixtral ? ".w1" : ".gate_proj"), intermediate, hidden, false);
    weights.linear(name + (mixtral ? ".w3" : ".up_proj"), intermediate, hidden, false);
    weights.linear(name + (mixtral ? ".w2" : ".down_proj"), hidden, intermediate, false);
  }
}

bool has_experts(const nlohmann::json& config, int layer) {
  const std::string family = config.at("model_type");
  if (family == "mixtral") return true;
  if (family != "qwen3_moe") return false;
  const auto dense = option(config, "mlp_only_layers", std::vector<int>());
  return (layer + 1) % option(config, "decoder_sparse_step", 1) == 0 &&
         std::find(dense.begin(), dense.end(), layer) == dense.end();
}

// llama, mistral, mixtral, qwen2, qwen3 and qwen3_moe share their names.
void llama_like(RandomWeights& weights, const nlohmann::json& config) {
  const std::string family = config.at("model_type");
  const int vocab = config.at("vocab_size");
  const int hidden = config.at("hidden_size");
  const int intermediate = config.at("intermediate_size");
  const int heads = config.at("num_attention_heads");
  const int kv_heads = config.at("num_key_value_heads");
  const int head_dim = option(config, "head_dim", hidden / heads);
  const bool output_bias = option(config, "attention_bias", false);
  const bool input_bias = output_bias || family == "qwen2";
  const bool mlp_bias = option(config, "mlp_bias", false);

  weights.embedding("model.embed_tokens", vocab, hidden, kWordDeviation);
  for (int layer = 0; layer < config.at("num_hidden_layers"); ++layer) {
    const std::string block = "model.layers." + std::to_string(layer) + ".";
    const std::string self = block + "self_attn.";
    weights.norm(block + "input_layernorm", hidden, false);
    weights.linear(self + "q_proj", heads * head_dim, hidden, input_bias, kSharp);
    weights.linear(self + "k_proj", kv_heads * head_dim, hidden, input_bias, kSharp);
    weights.linear(self + "v_proj", kv_heads * head_dim, hidden, input_bias);
    weights.linear(self + "o_proj", hidden, heads * head_dim, output_bias);
    if (family == "qwen3" || family == "qwen3_moe") {
      weights.norm(self + "q_norm", head_dim, false);
      weights.norm(self + "k_norm", head_dim, false);
    }
    weights.norm(block + "post_attention_layernorm", hidden, false);
    if (has_experts(config, layer)) {
      experts(weights, config, block);
      continue;
    }
    weights.linear(block + "mlp.gate_proj", intermediate, hidden, mlp_bias);
    weights.linear(block + "mlp.up_proj", intermediate, hidden, mlp_bias);
    weights.linear(block + "mlp.down_proj", hidden, intermediate, mlp_bias);
  }
  weights.norm("model.norm", hidden, false);
  if (!option(config, "tie_word_embeddings", false)) {
    weights.embedding("lm_head", vocab, hidden, kWordDeviation);
  }
}

void gpt2(RandomWeights& weights, const nlohmann::json& config) {
  const int vocab = config.at("vocab_size");
  const int hidden = config.at("n_embd");
  const int inner = option(config, "n_inner", 4 * hidden);

  weights.embedding("transformer.wte", vocab, hidden, kWordDeviation);
  weights.embedding("transformer.wpe", config.at("n_positions"), hidden, kWordDeviation);
  for (int layer = 0; layer < config.at("n_layer"); ++layer) {
    const std::string block = "transformer.h." + std::to_string(layer) + ".";
    weights.norm(block + "ln_1", hidden, true);
    weights.conv1d(block + "attn.c_attn", hidden, 3 * hidden, kSharp);
    weights.conv1d(block + "attn.c_proj", hidden, hidden);
    weights.norm(block + "ln_2", hidden, true);
    weights.conv1d(block + "mlp.c_fc", hidden, inner);
    weights.conv1d(block + "mlp.c_proj", inner, hidden);
  }
  weights.norm("transformer.ln_f", hidden, true);
  if (!option(config, "tie_word_embeddings", true)) {
    weights.embedding("lm_head", vocab, hidden, kWordDeviation);
  }
}

void opt(RandomWeights& weights, const nlohmann::json& config) {
  const int vocab = config.at("vocab_size");
  const int hidden = config.at("hidden_size");
  const int ffn = config.at("ffn_dim");
  const int longest = config.at("max_position_embeddings");
  const int word_dim = option(config, "word_embed_proj_dim", hidden);
  const bool bias = option(config, "enable_bias", true);
  const bool affine = option(config, "layer_norm_elementwise_affine", true);
  const bool final_norm = option(config, "do_layer_norm_before", true) &&
                          !option(config, "_remove_final_layer_norm", false);

  weights.embedding("model.decoder.embed_tokens", vocab, word_dim, kWordDeviation);
  weights.embedding("model.decoder.embed_positions", longest + 2, hidden, kWordDeviation);
  if (word_dim != hidden) {
    weights.linear("model.decoder.project_in", hidden, word_dim, false);
    weights.linear("model.decoder.project_out", word_dim, hidden, false);
  }
  for (int layer = 0; layer < config.at("num_hidden_layers"); ++layer) {
    const std::string block = "model.decoder.layers." + std::to_string(layer) + ".";
    if (affine) weights.norm(block + "self_attn_layer_norm", hidden, true);
    weights.linear(block + "self_attn.q_proj", hidden, hidden, bias, kSharp);
    weights.linear(block + "self_attn.k_proj", hidden, hidden, bias, kSharp);
    weights.linear(block + "self_attn.v_proj", hidden, hidden, bias);
    weights.linear(block + "self_attn.out_proj", hidden, hidden, bias);
    weights.linear(block + "fc1", ffn, hidden, bias);
    weights.linear(block + "fc2", hidden, ffn, bias);
    if (affine) weights.norm(block + "final_layer_norm", hidden, true);
  }
  if (final_norm && affine) weights.norm("model.decoder.final_layer_norm", hidden, true);
  if (!option(config, "tie_word_embeddings", true)) {
    weights.embedding("lm_head", vocab, word_dim, kWordDeviation);
  }
}

void gpt_neox(RandomWeights& weights, const nlohmann::json& config) {
  const int vocab = config.at("vocab_size");
  const int hidden = config.at("hidden_size");
  const int intermediate = config.at("intermediate_size");
  const bool bias = option(config, "attention_bias", true);

  weights.embedding("gpt_neox.embed_in", vocab, hidden, kWordDeviation);
  for (int layer = 0; layer < config.at("num_hidden_layers"); ++layer) {
    const std::string block = "gpt_neox.layers." + std::to_string(layer) + ".";
    weights.norm(block + "input_layernorm", hidden, true);
    weights.linear(block + "attention.query_key_value", 3 * hidden, hidden, bias, kSharp);
    weights.linear(block + "attention.dense", hidden, hidden, bias);
    weights.norm(block + "post_attention_layernorm", hidden, true);
    weights.linear(block + "mlp.dense_h_to_4h", intermediate, hidden, true);
    weights.linear(block + "mlp.dense_4h_to_h", hidden, intermediate, true);
  }
  weights.norm("gpt_neox.final_layer_norm", hidden, true);
  if (!option(config, "tie_word_embeddings", false)) {
    weights.embedding("embed_out", vocab, hidden, kWordDeviation);
  }
}

}  // namespace

void RandomWeights::draw(const std::string& name, std::vector<std::int64_t> shape, double mean,
                         double deviation) {
  Generator generator(seed_ + "/" + name);
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(mean + deviation * generator.normal()));
  }
  weights_[name] = {std::move(shape), std::move(values)};
}

void RandomWeights::linear(const std::string& name, int out, int in, bool bias, double gain) {
  draw(name + ".weight", {out, in}, 0, gain / std::sqrt(in));
  if (bias) draw(name + ".bias", {out}, 0, 0.3);
}

void RandomWeights::conv1d(const std::string& name, int in, int out, double gain) {
  draw(name + ".weight", {in, out}, 0, gain / std::sqrt(in));
  draw(name + ".bias", {out}, 0, 0.3);
}

void RandomWeights::embedding(const std::string& name, int rows, int width, double deviation) {
  draw(name + ".weight", {rows, width}, 0, deviation);
}

void RandomWeights::norm(const std::string& name, int size, bool bias) {
  draw(name + ".weight", {size}, 1, 0.2);
  if (bias) draw(name + ".bias", {size}, 0, 0.2);
}

ReferenceWeights random_weights(const std::string& seed, const nlohmann::json& config) {
  const std::string family = config.at("model_type");
  RandomWeights weights(seed);
  if (family == "gpt2") {
    gpt2(weights, config);
  } else if (family == "opt") {
    opt(weights, config);
  } else if (family == "gpt_neox") {
    gpt_neox(weights, config);
  } else {
    llama_like(weights, config);
  }
  return weights.take();
}

}  // namespace terse::test
