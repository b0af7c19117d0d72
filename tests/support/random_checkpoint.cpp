#include "support/random_checkpoint.h"

#include <fstream>
#include <stdexcept>

#include "support/random_weights.h"
#include "support/reference_math.h"
#include "support/reference_safetensors.h"

namespace terse::test {
namespace {

using nlohmann::json;
using Variants = std::vector<std::pair<std::string, json>>;

// The base config with some keys replaced.
json with(json config, const json& changes) {
  config.update(changes);
  return config;
}

void add_llama(Variants& variants) {
  const json base = {{"architectures", {"LlamaForCausalLM"}},
                     {"model_type", "llama"},
                     {"vocab_size", 67},
                     {"hidden_size", 32},
                     {"intermediate_size", 44},
                     {"num_hidden_layers", 2},
                     {"num_attention_heads", 4},
                     {"num_key_value_heads", 4},
                     {"hidden_act", "silu"},
                     {"max_position_embeddings", 64},
                     {"rms_norm_eps", 1e-5},
                     {"rope_theta", 10000.0},
                     {"rope_scaling", nullptr},
                     {"tie_word_embeddings", false},
                     {"bos_token_id", 1},
                     {"eos_token_id", 2}};
  variants.emplace_back("llama", base);
  variants.emplace_back("llama_grouped_tied",
                        with(base, {{"num_key_value_heads", 2}, {"tie_word_embeddings", true}}));
  variants.emplace_back(
      "llama_one_kv_head",
      with(base, {{"hidden_size", 40}, {"num_key_value_heads", 1}, {"head_dim", 12}}));
  variants.emplace_back(
      "llama_biases",
      with(base, {{"num_hidden_layers", 3}, {"attention_bias", true}, {"mlp_bias", true}}));
  // A rope that distinguishes features within 40 positions needs a small base and wide heads.
  const json wide =
      with(base, {{"num_key_value_heads", 2}, {"head_dim", 16}, {"rope_theta", 100.0}});
  variants.emplace_back("llama_rope_linear",
                        with(wide, {{"rope_scaling", {{"type", "linear"}, {"factor", 2.5}}}}));
  variants.emplace_back("llama_rope_dynamic",
                        with(wide, {{"max_position_embeddings", 16},
                                    {"rope_scaling", {{"type", "dynamic"}, {"factor", 3.0}}}}));
  const json llama3 = {{"rope_type", "llama3"},
                       {"factor", 4.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 3.0},
                       {"original_max_position_embeddings", 16}};
  variants.emplace_back("llama_rope_llama3", with(wide, {{"rope_scaling", llama3}}));
  const json yarn = {{"rope_type", "yarn"},
                     {"factor", 4.0},
                     {"beta_fast", 0.75},
                     {"beta_slow", 0.1},
                     {"original_max_position_embeddings", 16}};
  variants.emplace_back("llama_rope_yarn", with(wide, {{"rope_scaling", yarn}}));
  variants.emplace_back("llama_rope_yarn_defaults",
                        with(wide, {{"max_position_embeddings", 32},
                                    {"rope_scaling", {{"type", "yarn"}, {"factor", 2.0}}}}));
  variants.emplace_back(
      "llama_rope_yarn_untruncated",
      with(wide, {{"rope_scaling", with(yarn, {{"truncate", false}, {"attention_factor", 0.8}})}}));
  variants.emplace_back(
      "llama_rope_yarn_mscale",
      with(wide, {{"rope_scaling", with(yarn, {{"mscale", 2.0}, {"mscale_all_dim", 0.5}})}}));
  json newer = wide;
  newer.erase("rope_scaling");
  newer.erase("rope_theta");
  variants.emplace_back(
      "llama_rope_parameters",
      with(newer, {{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 500.0}}}}));
  variants.emplace_back("llama_rope_parameters_llama3",
                        with(newer, {{"rope_parameters", with(llama3, {{"rope_theta", 50.0}})}}));
}

void add_mistral(Variants& variants) {
  const json base = {{"architectures", {"MistralForCausalLM"}},
                     {"model_type", "mistral"},
                     {"vocab_size", 67},
                     {"hidden_size", 48},
                     {"intermediate_size", 44},
                     {"num_hidden_layers", 3},
                     {"num_attention_heads", 4},
                     {"num_key_value_heads", 2},
                     {"hidden_act", "silu"},
                     {"max_position_embeddings", 64},
                     {"rms_norm_eps", 1e-5},
                     {"rope_theta", 1000.0},
                     {"sliding_window", 5},
                     {"tie_word_embeddings", false},
                     {"bos_token_id", 1},
                     {"eos_token_id", 2}};
  variants.emplace_back("mistral_window", base);
  variants.emplace_back("mistral_no_window",
                        with(base, {{"sliding_window", nullptr}, {"num_key_value_heads", 4}}));
  variants.emplace_back(
      "mistral_head_dim",
      with(base, {{"head_dim", 8}, {"num_key_value_heads", 1}, {"tie_word_embeddings", true}}));
}

void add_qwen2(Variants& variants) {
  const json base = {{"architectures", {"Qwen2ForCausalLM"}},
                     {"model_type", "qwen2"},
                     {"vocab_size", 67},
                     {"hidden_size", 48},
                     {"intermediate_size", 52},
                     {"num_hidden_layers", 3},
                     {"num_attention_heads", 4},
                     {"num_key_value_heads", 2},
                     {"hidden_act", "silu"},
                     {"max_position_embeddings", 64},
                     {"max_window_layers", 1},
                     {"rms_norm_eps", 1e-6},
                     {"rope_theta", 1000.0},
                     {"sliding_window", 5},
                     {"use_sliding_window", false},
                     {"tie_word_embeddings", true},
                     {"bos_token_id", 1},
                     {"eos_token_id", 2}};
  variants.emplace_back("qwen2", base);
  variants.emplace_back("qwen2_window",
                        with(base, {{"use_sliding_window", true}, {"tie_word_embeddings", false}}));
  variants.emplace_back(
      "qwen2_layer_types",
      with(base, {{"use_sliding_window", true},
                  {"layer_types", {"sliding_attention", "full_attention", "sliding_attention"}}}));
  variants.emplace_back(
      "qwen2_rope_yarn",
      with(base,
           {{"num_key_value_heads", 1},
            {"rope_scaling",
             {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 16}}}}));
}

void add_qwen3(Variants& variants) {
  const json base = {{"architectures", {"Qwen3ForCausalLM"}},
                     {"model_type", "qwen3"},
                     {"vocab_size", 67},
                     {"hidden_size", 40},
                     {"intermediate_size", 44},
                     {"num_hidden_layers", 2},
                     {"num_attention_heads", 4},
                     {"num_key_value_heads", 2},
                     {"head_dim", 16},
                     {"hidden_act", "silu"},
                     {"attention_bias", false},
                     {"max_position_embeddings", 64},
                     {"max_window_layers", 1},
                     {"rms_norm_eps", 1e-6},
                     {"rope_theta", 1000000.0},
                     {"rope_scaling", nullptr},
                     {"sliding_window", nullptr},
                     {"use_sliding_window", false},
                     {"tie_word_embeddings", true},
                     {"bos_token_id", 1},
                     {"eos_token_id", 2}};
  variants.emplace_back("qwen3", base);
  variants.emplace_back("qwen3_biases", with(base, {{"attention_bias", true},
                                                    {"num_key_value_heads", 4},
                                                    {"tie_word_embeddings", false}}));
  variants.emplace_back(
      "qwen3_window",
      with(base, {{"use_sliding_window", true}, {"sliding_window", 5}, {"num_hidden_layers", 3}}));
}

void add_mixtral(Variants& variants) {
  const json base = {{"architectures", {"MixtralForCausalLM"}},
                     {"model_type", "mixtral"},
                     {"vocab_size", 67},
                     {"hidden_size", 48},
                     {"intermediate_size", 28},
                     {"num_hidden_layers", 2},
                     {"num_attention_heads", 4},
                     {"num_key_value_heads", 2},
                     {"num_local_experts", 4},
                     {"num_experts_per_tok", 2},
                     {"hidden_act", "silu"},
                     {"max_position_embeddings", 64},
                     {"rms_norm_eps", 1e-5},
                     {"rope_theta", 1000.0},
                     {"sliding_window", nullptr},
                     {"tie_word_embeddings", false},
                     {"bos_token_id", 1},
                     {"eos_token_id", 2}};
  variants.emplace_back("mixtral", base);
  variants.emplace_back(
      "mixtral_window_tied",
      with(base, {{"sliding_window", 5}, {"num_hidden_layers", 3}, {"tie_word_embeddings", true}}));
  variants.emplace_back("mixtral_one_of_three",
                        with(base, {{"num_local_experts", 3}, {"num_experts_per_tok", 1}}));
}

void add_qwen3_moe(Variants& variants) {
  const json base = {{"architectures", {"Qwen3MoeForCausalLM"}},
                     {"model_type", "qwen3_moe"},
                     {"vocab_size", 67},
                     {"hidden_size", 40},
                     {"intermediate_size", 44},
                     {"moe_intermediate_size", 20},
                     {"num_hidden_layers", 2},
                     {"num_attention_heads", 4},
                     {"num_key_value_heads", 2},
                     {"head_dim", 16},
                     {"num_experts", 6},
                     {"num_experts_per_tok", 3},
                     {"norm_topk_prob", true},
                     {"decoder_sparse_step", 1},
                     {"mlp_only_layers", json::array()},
                     {"hidden_act", "silu"},
                     {"attention_bias", false},
                     {"max_position_embeddings", 64},
                     {"rms_norm_eps", 1e-6},
                     {"rope_theta", 1000000.0},
                     {"rope_scaling", nullptr},
                     {"sliding_window", nullptr},
                     {"use_sliding_window", false},
                     {"tie_word_embeddings", false},
                     {"bos_token_id", 1},
                     {"eos_token_id", 2}};
  variants.emplace_back("qwen3_moe", base);
  variants.emplace_back("qwen3_moe_not_normalised",
                        with(base, {{"norm_topk_prob", false}, {"tie_word_embeddings", true}}));
  variants.emplace_back(
      "qwen3_moe_some_blocks",
      with(base, {{"num_hidden_layers", 4}, {"decoder_sparse_step", 2}, {"mlp_only_layers", {3}}}));
  variants.emplace_back("qwen3_moe_biases_window", with(base, {{"attention_bias", true},
                                                               {"use_sliding_window", true},
                                                               {"sliding_window", 5},
                                                               {"num_experts_per_tok", 6}}));
}

void add_gpt2(Variants& variants) {
  const json base = {{"architectures", {"GPT2LMHeadModel"}},
                     {"model_type", "gpt2"},
                     {"vocab_size", 67},
                     {"n_embd", 32},
                     {"n_head", 4},
                     {"n_layer", 2},
                     {"n_positions", 48},
                     {"n_ctx", 48},
                     {"activation_function", "gelu_new"},
                     {"layer_norm_epsilon", 1e-5},
                     {"bos_token_id", 1},
                     {"eos_token_id", 2}};
  variants.emplace_back("gpt2", base);
  variants.emplace_back("gpt2_inverse_layer_scale",
                        with(base, {{"n_layer", 3},
                                    {"n_inner", 44},
                                    {"scale_attn_by_inverse_layer_idx", true},
                                    {"reorder_and_upcast_attn", true}}));
  variants.emplace_back("gpt2_unscaled", with(base, {{"scale_attn_weights", false}}));
  variants.emplace_back(
      "gpt2_untied", with(base, {{"tie_word_embeddings", false}, {"activation_function", "gelu"}}));
}

void add_opt(Variants& variants) {
  const json base = {{"architectures", {"OPTForCausalLM"}},
                     {"model_type", "opt"},
                     {"vocab_size", 67},
                     {"hidden_size", 32},
                     {"ffn_dim", 44},
                     {"num_hidden_layers", 2},
                     {"num_attention_heads", 4},
                     {"max_position_embeddings", 48},
                     {"word_embed_proj_dim", 32},
                     {"do_layer_norm_before", true},
                     {"activation_function", "relu"},
                     {"pad_token_id", 1},
                     {"bos_token_id", 2},
                     {"eos_token_id", 2}};
  variants.emplace_back("opt", base);
  variants.emplace_back("opt_post_norm_projected",
                        with(base, {{"do_layer_norm_before", false}, {"word_embed_proj_dim", 24}}));
  variants.emplace_back("opt_post_norm",
                        with(base, {{"do_layer_norm_before", false}, {"num_hidden_layers", 3}}));
  variants.emplace_back("opt_pre_norm_projected", with(base, {{"word_embed_proj_dim", 20}}));
  variants.emplace_back("opt_plain", with(base, {{"enable_bias", false},
                                                 {"layer_norm_elementwise_affine", false},
                                                 {"activation_function", "gelu"}}));
  variants.emplace_back("opt_no_final_norm", with(base, {{"_remove_final_layer_norm", true}}));
  variants.emplace_back("opt_untied", with(base, {{"tie_word_embeddings", false}}));
}

void add_gpt_neox(Variants& variants) {
  const json base = {{"architectures", {"GPTNeoXForCausalLM"}},
                     {"model_type", "gpt_neox"},
                     {"vocab_size", 67},
                     {"hidden_size", 64},
                     {"intermediate_size", 44},
                     {"num_hidden_layers", 2},
                     {"num_attention_heads", 4},
                     {"hidden_act", "gelu"},
                     {"max_position_embeddings", 64},
                     {"layer_norm_eps", 1e-5},
                     {"rotary_emb_base", 10000},
                     {"rotary_pct", 0.25},
                     {"use_parallel_residual", true},
                     {"tie_word_embeddings", false},
                     {"bos_token_id", 0},
                     {"eos_token_id", 0}};
  variants.emplace_back("gpt_neox", base);
  variants.emplace_back("gpt_neox_sequential", with(base, {{"use_parallel_residual", false},
                                                           {"rotary_pct", 1.0},
                                                           {"num_hidden_layers", 3}}));
  variants.emplace_back("gpt_neox_no_attention_bias",
                        with(base, {{"attention_bias", false}, {"rotary_pct", 0.5}}));
  variants.emplace_back("gpt_neox_tied", with(base, {{"tie_word_embeddings", true}}));
  variants.emplace_back("gpt_neox_rope_dynamic",
                        with(base, {{"rotary_pct", 0.5},
                                    {"rotary_emb_base", 100},
                                    {"max_position_embeddings", 16},
                                    {"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}}));
  json newer = base;
  newer.erase("rotary_pct");
  newer.erase("rotary_emb_base");
  variants.emplace_back("gpt_neox_rope_parameters",
                        with(newer, {{"rope_parameters",
                                      {{"rope_type", "linear"},
                                       {"factor", 2.0},
                                       {"rope_theta", 300.0},
                                       {"partial_rotary_factor", 0.75}}}}));
}

struct FamilyNames {
  std::string prefix;
  std::string embedding;
  std::string head;
  bool tied_by_default;
};

FamilyNames names_of(const std::string& family) {
  if (family == "gpt2") return {"transformer.", "transformer.wte.weight", "lm_head.weight", true};
  if (family == "opt") {
    return {"model.", "model.decoder.embed_tokens.weight", "lm_head.weight", true};
  }
  if (family == "gpt_neox") {
    return {"gpt_neox.", "gpt_neox.embed_in.weight", "embed_out.weight", false};
  }
  return {"model.", "model.embed_tokens.weight", "lm_head.weight", false};
}

// A lower-triangular mask [1, 1, size, size].
ReferenceTensor causal_mask(int size) {
  ReferenceTensor mask{{1, 1, size, size}, {}};
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < size; ++j) mask.values.push_back(j <= i ? 1 : 0);
  }
  return mask;
}

void add_legacy_buffers(ReferenceWeights& weights, const json& config) {
  const std::string family = config.at("model_type");
  if (family == "opt") return;
  const int layers = config.at(family == "gpt2" ? "n_layer" : "num_hidden_layers");
  for (int layer = 0; layer < layers; ++layer) {
    const std::string number = std::to_string(layer);
    if (family == "gpt2") {
      weights["transformer.h." + number + ".attn.bias"] = causal_mask(config.at("n_positions"));
      weights["transformer.h." + number + ".attn.masked_bias"] = {{}, {-10000.0}};
    } else if (family == "gpt_neox") {
      const std::string block = "gpt_neox.layers." + number + ".attention.";
      weights[block + "bias"] = causal_mask(config.at("max_position_embeddings"));
      weights[block + "masked_bias"] = {{}, {-1000.0}};
      weights[block + "rotary_emb.inv_freq"] = {{2}, {1.0, 0.5}};
    } else {
      weights["model.layers." + number + ".self_attn.rotary_emb.inv_freq"] = {{2}, {1.0, 0.5}};
    }
  }
}

ReferenceWeights renamed(const ReferenceWeights& weights, const std::string& prefix) {
  ReferenceWeights result;
  for (const auto& [name, tensor] : weights) {
    result[name.starts_with(prefix) ? name.substr(prefix.size()) : name] = tensor;
  }
  return result;
}

}  // namespace

RandomCheckpoint random_checkpoint(const std::string& name, const json& config) {
  return {config, random_weights(name, config)};
}

std::vector<std::pair<std::string, json>> random_configs() {
  Variants variants;
  add_llama(variants);
  add_mistral(variants);
  add_qwen2(variants);
  add_qwen3(variants);
  add_mixtral(variants);
  add_qwen3_moe(variants);
  add_gpt2(variants);
  add_opt(variants);
  add_gpt_neox(variants);
  return variants;
}

std::vector<std::pair<std::string, RandomCheckpoint>> random_checkpoints() {
  std::vector<std::pair<std::string, RandomCheckpoint>> checkpoints;
  for (const auto& [name, config] : random_configs()) {
    checkpoints.emplace_back(name, random_checkpoint(name, config));
  }
  return checkpoints;
}

RandomCheckpoint rounded(RandomCheckpoint checkpoint, const std::string& dtype) {
  checkpoint.weights = round_weights(std::move(checkpoint.weights), dtype);
  return checkpoint;
}

void write_checkpoint(const RandomCheckpoint& checkpoint, const std::filesystem::path& directory,
                      const std::string& dtype, const CheckpointLayout& layout) {
  json config = checkpoint.config;
  const FamilyNames names = names_of(config.at("model_type"));
  ReferenceWeights weights = checkpoint.weights;
  if (option(config, "tie_word_embeddings", names.tied_by_default) &&
      layout.tied != TiedName::kEmbedding) {
    weights[names.head] = weights.at(names.embedding);
    if (layout.tied == TiedName::kHead) weights.erase(names.embedding);
  }
  if (layout.legacy_buffers) add_legacy_buffers(weights, config);
  if (!layout.base_model_prefix) weights = renamed(weights, names.prefix);

  config["torch_dtype"] = dtype == "F32" ? "float32" : dtype == "F16" ? "float16" : "bfloat16";
  std::filesystem::create_directories(directory);
  std::ofstream out(directory / "config.json");
  out << config.dump(2) << "\n";
  if (!out.flush()) throw std::runtime_error("cannot write a config into " + directory.string());
  write_safetensors(directory / "model.safetensors", weights, dtype);
}

}  // namespace terse::test
