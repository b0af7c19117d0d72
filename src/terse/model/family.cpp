#include "terse/model/family.h"

#include <algorithm>
#include <cmath>

#include "terse/core/error.h"

namespace terse {
namespace {

RopeKind parse_rope_kind(const std::string& name) {
  if (name == "default" || name.empty()) return RopeKind::none;
  if (name == "linear") return RopeKind::linear;
  if (name == "dynamic") return RopeKind::dynamic;
  if (name == "llama3") return RopeKind::llama3;
  if (name == "yarn") return RopeKind::yarn;
  throw bad_input("rope scaling '{}' is not known; known are linear, dynamic, llama3, yarn", name);
}

// YaRN (Peng et al., arXiv 2309.00071), section 3.4: the temperature of the attention.
double yarn_mscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

double yarn_attention_factor(const Json& scaling, double factor) {
  if (has_key(scaling, "attention_factor")) return get_number(scaling, "attention_factor");
  const double mscale = get_number(scaling, "mscale", 0);
  const double all_dimensions = get_number(scaling, "mscale_all_dim", 0);
  if (mscale != 0 && all_dimensions != 0) {
    return yarn_mscale(factor, mscale) / yarn_mscale(factor, all_dimensions);
  }
  return yarn_mscale(factor, 1.0);
}

// The length that the model was trained on. Dynamic scaling always counts from the config's own.
double original_length(const Json& config, const Json& scaling, const Architecture& architecture) {
  const auto length = static_cast<double>(architecture.max_position_embeddings);
  if (architecture.rope.kind == RopeKind::dynamic) return length;
  const char* key = "original_max_position_embeddings";
  const double original =
      has_key(config, key) ? get_number(config, key) : get_number(scaling, key, length);
  if (!(original > 0)) throw bad_input("{} is {}; expected a positive number", key, original);
  return original;
}

void read_scaling(const Json& config, const Json& scaling, Architecture& architecture) {
  Rope& rope = architecture.rope;
  const std::string name =
      get_string(scaling, has_key(scaling, "rope_type") ? "rope_type" : "type", "");
  rope.kind = parse_rope_kind(name);
  if (rope.kind == RopeKind::none) return;
  rope.factor = get_number(scaling, "factor");
  constexpr double kLargestFactor = 1e6;
  if (!(rope.factor > 0 && rope.factor <= kLargestFactor)) {
    throw bad_input("rope scaling factor is {}; expected above 0, up to {}", rope.factor,
                    kLargestFactor);
  }
  rope.original_max_position_embeddings = original_length(config, scaling, architecture);
  if (rope.kind == RopeKind::llama3) {
    rope.low_freq_factor = get_number(scaling, "low_freq_factor");
    rope.high_freq_factor = get_number(scaling, "high_freq_factor");
  }
  if (rope.kind == RopeKind::yarn) {
    rope.beta_fast = get_number(scaling, "beta_fast", 32);
    rope.beta_slow = get_number(scaling, "beta_slow", 1);
    rope.truncate = get_bool(scaling, "truncate", true);
    rope.attention_factor = yarn_attention_factor(scaling, rope.factor);
  }
}

}  // namespace

void read_sizes(const Json& config, Architecture& architecture,
                std::optional<std::int64_t> head_dim) {
  architecture.vocab_size = get_integer(config, "vocab_size");
  architecture.hidden_size = get_integer(config, "hidden_size");
  architecture.embedding_size = architecture.hidden_size;
  architecture.num_hidden_layers = get_integer(config, "num_hidden_layers");
  architecture.num_attention_heads = get_integer(config, "num_attention_heads");
  architecture.num_key_value_heads = architecture.num_attention_heads;
  architecture.max_position_embeddings = get_integer(config, "max_position_embeddings");
  architecture.head_dim = head_dim.value_or(
      architecture.hidden_size / std::max<std::int64_t>(1, architecture.num_attention_heads));
  architecture.validate_sizes();
  const auto blocks = static_cast<std::size_t>(architecture.num_hidden_layers);
  architecture.sliding_window.assign(blocks, 0);
  architecture.attention_scale.assign(blocks,
                                      1.0 / std::sqrt(static_cast<double>(architecture.head_dim)));
}

void read_rope(const Json& config, Architecture& architecture) {
  Rope& rope = architecture.rope;
  architecture.rotary = true;
  rope.theta = get_number(config, "rope_theta", 10000.0);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!has_key(config, key) || get_object(config, key).empty()) continue;
    const Json& parameters = get_object(config, key);
    rope.theta = get_number(parameters, "rope_theta", rope.theta);
    read_scaling(config, parameters, architecture);
    break;
  }
  if (!(rope.theta > 0) || !std::isfinite(rope.theta)) {
    throw bad_input("rope_theta is {}; expected a positive number", rope.theta);
  }
}

Activation read_activation(const Json& config, const std::string& key, const std::string& absent) {
  const std::string name = get_string(config, key, absent);
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return Activation::gelu_tanh;
  if (name == "relu") return Activation::relu;
  throw bad_input(
      "{} '{}' is not a known activation; known are silu, gelu, gelu_new, "
      "gelu_pytorch_tanh, relu",
      key, name);
}

void require_value(const Json& config, const std::string& key, const Json& expected) {
  if (has_key(config, key) && config.at(key) != expected) {
    throw bad_input("{} is {}; only {} is supported", key, config.at(key).dump(), expected.dump());
  }
}

Architecture llama_like(const Json& config, std::int64_t key_value_heads_absent) {
  Architecture a;
  std::optional<std::int64_t> head_dim;
  if (has_key(config, "head_dim")) head_dim = get_integer(config, "head_dim");
  read_sizes(config, a, head_dim);
  const bool absent = !config.contains("num_key_value_heads") && key_value_heads_absent != 0;
  a.num_key_value_heads = get_integer(config, "num_key_value_heads",
                                      absent ? key_value_heads_absent : a.num_attention_heads);
  a.intermediate_size = get_integer(config, "intermediate_size");
  a.gated = true;
  a.activation = read_activation(config, "hidden_act", "silu");
  a.norm = NormKind::rms;
  a.norm_eps = get_number(config, "rms_norm_eps", 1e-6);
  a.tie_word_embeddings = get_bool(config, "tie_word_embeddings", false);
  a.rope.dimensions = a.head_dim;
  read_rope(config, a);
  a.prefix = "model.";
  a.linears = {{LinearRole::q_proj, "layers.{}.self_attn.q_proj"},
               {LinearRole::k_proj, "layers.{}.self_attn.k_proj"},
               {LinearRole::v_proj, "layers.{}.self_attn.v_proj"},
               {LinearRole::o_proj, "layers.{}.self_attn.o_proj"},
               {LinearRole::gate_proj, "layers.{}.mlp.gate_proj"},
               {LinearRole::up_proj, "layers.{}.mlp.up_proj"},
               {LinearRole::down_proj, "layers.{}.mlp.down_proj"}};
  a.norms = {{NormRole::attention, "layers.{}.input_layernorm"},
             {NormRole::mlp, "layers.{}.post_attention_layernorm"},
             {NormRole::final, "norm"}};
  a.embedding = "embed_tokens";
  a.head = "lm_head";
  return a;
}

}  // namespace terse
