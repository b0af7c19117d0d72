// A config.json as an Architecture: the keys of every family, what absent keys mean, and refusals.
#include "terse/model/architecture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "support/expect_error.h"
#include "support/random_checkpoint.h"
#include "terse/model/rotary.h"

namespace terse {
namespace {

using testing::Each;
using testing::ElementsAre;

Json with(Json config, const Json& changes) {
  config.update(changes);
  return config;
}

// The least that a family needs.
Json small(const std::string& type) {
  const Json common = {{"model_type", type},       {"vocab_size", 100},
                       {"hidden_size", 48},        {"num_hidden_layers", 3},
                       {"num_attention_heads", 6}, {"max_position_embeddings", 64}};
  if (type == "opt") return with(common, {{"ffn_dim", 50}});
  if (type == "gpt2") {
    return {{"model_type", "gpt2"}, {"vocab_size", 100}, {"n_embd", 48},
            {"n_layer", 3},         {"n_head", 6},       {"n_positions", 64}};
  }
  return with(common, {{"intermediate_size", 50}});
}

Architecture parse(const std::string& type, const Json& changes = Json::object()) {
  return parse_architecture(with(small(type), changes));
}

void refuses(const Json& config, const std::string& part) {
  test::expect_error(ErrorKind::bad_input, part, [&] { parse_architecture(config); });
}

void refuses(const std::string& type, const Json& changes, const std::string& part) {
  SCOPED_TRACE(type + " " + changes.dump());
  refuses(with(small(type), changes), part);
}

TEST(ArchitectureTest, SizesOfEveryFamily) {
  for (const char* type : {"llama", "qwen2", "gpt2", "opt", "gpt_neox"}) {
    SCOPED_TRACE(type);
    // Qwen2's own default of 32 key-value heads does not fit 6 heads.
    const Architecture a = parse(
        type, std::string(type) == "qwen2" ? Json{{"num_key_value_heads", 6}} : Json::object());
    EXPECT_EQ(a.family, type);
    EXPECT_EQ(a.vocab_size, 100);
    EXPECT_EQ(a.hidden_size, 48);
    EXPECT_EQ(a.embedding_size, 48);
    EXPECT_EQ(a.num_hidden_layers, 3);
    EXPECT_EQ(a.num_attention_heads, 6);
    EXPECT_EQ(a.num_key_value_heads, 6);
    EXPECT_EQ(a.head_dim, 8);
    EXPECT_EQ(a.max_position_embeddings, 64);
    EXPECT_EQ(a.intermediate_size, std::string(type) == "gpt2" ? 192 : 50);
    EXPECT_THAT(a.sliding_window, ElementsAre(0, 0, 0));
    EXPECT_THAT(a.attention_scale, Each(testing::DoubleEq(1 / std::sqrt(8.0))));
  }
}

TEST(ArchitectureTest, DefaultsOfLlama) {
  const Architecture a = parse("llama");
  EXPECT_TRUE(a.rotary);
  EXPECT_EQ(a.rope.theta, 10000);
  EXPECT_EQ(a.rope.dimensions, 8);
  EXPECT_EQ(a.rope.kind, RopeKind::none);
  EXPECT_TRUE(a.gated);
  EXPECT_EQ(a.activation, Activation::silu);
  EXPECT_EQ(a.norm, NormKind::rms);
  EXPECT_EQ(a.norm_eps, 1e-6);
  EXPECT_FALSE(a.tie_word_embeddings);
  EXPECT_FALSE(a.learned_positions);
  EXPECT_THAT(a.biases, testing::IsEmpty());
  EXPECT_EQ(a.context_length(), 64);
}

TEST(ArchitectureTest, KeysOfLlama) {
  const Architecture a = parse("llama", {{"num_key_value_heads", 2},
                                         {"head_dim", 10},
                                         {"rope_theta", 500},
                                         {"rms_norm_eps", 1e-5},
                                         {"hidden_act", "gelu_pytorch_tanh"},
                                         {"tie_word_embeddings", true},
                                         {"attention_bias", true}});
  EXPECT_EQ(a.num_key_value_heads, 2);
  EXPECT_EQ(a.query_size(0), 60);
  EXPECT_EQ(a.key_size(0), 20);
  EXPECT_EQ(a.out_features(0, LinearRole::k_proj), 20);
  EXPECT_EQ(a.in_features(0, LinearRole::o_proj), 60);
  EXPECT_EQ(a.rope.theta, 500);
  EXPECT_EQ(a.norm_eps, 1e-5);
  EXPECT_EQ(a.activation, Activation::gelu_tanh);
  EXPECT_TRUE(a.tie_word_embeddings);
  EXPECT_THAT(a.biases, ElementsAre(LinearRole::q_proj, LinearRole::k_proj, LinearRole::v_proj,
                                    LinearRole::o_proj));
  EXPECT_THAT(parse("llama", {{"mlp_bias", true}}).biases,
              ElementsAre(LinearRole::gate_proj, LinearRole::up_proj, LinearRole::down_proj));
}

TEST(ArchitectureTest, RopeScalingsOfLlama) {
  const auto rope = [](const Json& scaling) {
    return parse("llama", {{"rope_scaling", scaling}}).rope;
  };
  EXPECT_EQ(rope(nullptr).kind, RopeKind::none);
  EXPECT_EQ(rope({{"rope_type", "default"}}).kind, RopeKind::none);
  EXPECT_EQ(rope({{"type", "linear"}, {"factor", 2}}).kind, RopeKind::linear);
  EXPECT_EQ(rope({{"rope_type", "linear"}, {"factor", 2}}).factor, 2);
  const Rope llama3 = rope({{"rope_type", "llama3"},
                            {"factor", 8},
                            {"low_freq_factor", 1},
                            {"high_freq_factor", 4},
                            {"original_max_position_embeddings", 32}});
  EXPECT_EQ(llama3.kind, RopeKind::llama3);
  EXPECT_EQ(llama3.original_max_position_embeddings, 32);
  const Rope yarn = rope({{"type", "yarn"}, {"factor", 4}});
  EXPECT_EQ(yarn.beta_fast, 32);
  EXPECT_EQ(yarn.beta_slow, 1);
  EXPECT_EQ(yarn.original_max_position_embeddings, 64);
  EXPECT_NEAR(yarn.attention_factor, 0.1 * std::log(4.0) + 1, 1e-12);
  EXPECT_EQ(rope({{"type", "yarn"}, {"factor", 4}, {"attention_factor", 0.7}}).attention_factor,
            0.7);
  const Architecture dynamic =
      parse("llama", {{"rope_scaling", {{"type", "dynamic"}, {"factor", 3}}}});
  EXPECT_EQ(dynamic.context_length(), 192);
  const Rope newer =
      parse("llama",
            {{"rope_parameters", {{"rope_type", "linear"}, {"factor", 2}, {"rope_theta", 7000}}}})
          .rope;
  EXPECT_EQ(newer.theta, 7000);
  EXPECT_EQ(newer.kind, RopeKind::linear);
}

TEST(ArchitectureTest, MistralHasWindowsEverywhere) {
  const Json heads = {{"num_key_value_heads", 3}};
  EXPECT_THAT(parse("mistral", heads).sliding_window, Each(4096));
  EXPECT_THAT(parse("mistral", with(heads, {{"sliding_window", 9}})).sliding_window, Each(9));
  EXPECT_THAT(parse("mistral", with(heads, {{"sliding_window", nullptr}})).sliding_window, Each(0));
  // Absent, the family's default of 8 counts; null means as many as heads.
  EXPECT_EQ(parse("mistral", {{"num_attention_heads", 16}, {"head_dim", 4}}).num_key_value_heads,
            8);
  EXPECT_EQ(parse("mistral", {{"num_key_value_heads", nullptr}}).num_key_value_heads, 6);
  refuses("mistral", Json::object(), "key-value heads is 8");
  refuses("mistral", with(heads, {{"sliding_window", -3}}), "sliding window is -3");
}

TEST(ArchitectureTest, QwenWindowsAreByBlock) {
  for (const char* type : {"qwen2", "qwen3"}) {
    SCOPED_TRACE(type);
    const Json base = {{"num_key_value_heads", 3}, {"sliding_window", 7}, {"head_dim", 8}};
    const Json used = with(base, {{"use_sliding_window", true}});
    EXPECT_THAT(parse(type, base).sliding_window, Each(0));
    EXPECT_THAT(parse(type, used).sliding_window, Each(0)) << "28 blocks have none";
    EXPECT_THAT(parse(type, with(used, {{"max_window_layers", 1}})).sliding_window,
                ElementsAre(0, 7, 7));
    const Json types = {"sliding_attention", "full_attention", "sliding_attention"};
    EXPECT_THAT(parse(type, with(used, {{"layer_types", types}})).sliding_window,
                ElementsAre(7, 0, 7));
    refuses(type, with(used, {{"layer_types", {"full_attention"}}}), "1 entries for 3 blocks");
    refuses(type, with(used, {{"layer_types", {"full_attention", "odd", "full_attention"}}}),
            "\"odd\"");
    refuses(type, with(used, {{"layer_types", {1, 2, 3}}}), "layer_types holds 1");
    refuses(type, with(used, {{"layer_types", "all"}}), "'layer_types'");
  }
}

TEST(ArchitectureTest, QwenBiasesAndNorms) {
  const Architecture qwen2 = parse("qwen2", {{"num_key_value_heads", 2}});
  EXPECT_THAT(qwen2.biases,
              ElementsAre(LinearRole::q_proj, LinearRole::k_proj, LinearRole::v_proj));
  EXPECT_FALSE(qwen2.qk_norm);
  const Architecture qwen3 = parse("qwen3", {{"num_key_value_heads", 2}});
  EXPECT_EQ(qwen3.head_dim, 128) << "Qwen3's own default";
  EXPECT_TRUE(qwen3.qk_norm);
  EXPECT_TRUE(qwen3.norms.contains(NormRole::q_norm));
  EXPECT_THAT(qwen3.biases, testing::IsEmpty());
  EXPECT_EQ(parse("qwen3", {{"num_key_value_heads", 2}, {"attention_bias", true}}).biases.size(),
            4U);
}

TEST(ArchitectureTest, Mixtral) {
  const Json heads = {{"num_key_value_heads", 3}};
  const Architecture a = parse("mixtral", heads);
  EXPECT_EQ(a.num_experts, 8);
  EXPECT_EQ(a.experts.per_token, 2);
  EXPECT_TRUE(a.experts.normalised);
  EXPECT_EQ(a.norm_eps, 1e-5);
  EXPECT_EQ(a.rope.theta, 1e6);
  EXPECT_THAT(a.sliding_window, Each(0));
  EXPECT_EQ(a.block_linears(0).size(), 4U + 3U * 8U);
  EXPECT_EQ(a.linear_name(2, {LinearRole::up_proj, 5}), "layers.2.block_sparse_moe.experts.5.w3");
  EXPECT_EQ(a.router_name(1), "layers.1.block_sparse_moe.gate");
  EXPECT_THAT(a.roles(0, Stage::mlp_output), ElementsAre(LinearRole::down_proj));
  EXPECT_EQ(a.inputs(0, Stage::mlp_output).size(), 8U);
  EXPECT_THAT(a.inputs(0, Stage::attention_input), ElementsAre(StageInput(Stage::attention_input)));
  const Architecture other = parse(
      "mixtral",
      with(heads, {{"num_local_experts", 3}, {"num_experts_per_tok", 3}, {"sliding_window", 9}}));
  EXPECT_EQ(other.num_experts, 3);
  EXPECT_EQ(other.experts.per_token, 3);
  EXPECT_THAT(other.sliding_window, Each(9));
}

TEST(ArchitectureTest, Qwen3Moe) {
  const Json base = {{"num_key_value_heads", 3}, {"moe_intermediate_size", 7}};
  const Architecture a = parse("qwen3_moe", base);
  EXPECT_EQ(a.num_experts, 128);
  EXPECT_EQ(a.experts.per_token, 8);
  EXPECT_FALSE(a.experts.normalised);
  EXPECT_TRUE(a.qk_norm);
  EXPECT_EQ(a.head_dim, 8);
  EXPECT_EQ(a.intermediate_size, 7);
  EXPECT_THAT(a.block_shapes, testing::IsEmpty());
  EXPECT_EQ(a.linear_name(0, {LinearRole::down_proj, 127}), "layers.0.mlp.experts.127.down_proj");
  const Architecture mixed =
      parse("qwen3_moe", with(base, {{"decoder_sparse_step", 1}, {"mlp_only_layers", {1}}}));
  EXPECT_EQ(mixed.intermediate_size, 50);
  EXPECT_TRUE(mixed.has_experts(0));
  EXPECT_FALSE(mixed.has_experts(1));
  EXPECT_EQ(mixed.out_features(0, LinearRole::up_proj), 7);
  EXPECT_EQ(mixed.out_features(1, LinearRole::up_proj), 50);
  EXPECT_EQ(mixed.linear_name(1, LinearRole::up_proj), "layers.1.mlp.up_proj");
  const Architecture stepped = parse("qwen3_moe", with(base, {{"decoder_sparse_step", 2}}));
  EXPECT_FALSE(stepped.has_experts(0));
  EXPECT_TRUE(stepped.has_experts(1));
  EXPECT_FALSE(stepped.has_experts(2));
  EXPECT_THAT(parse("qwen3_moe", with(base, {{"use_sliding_window", true}, {"sliding_window", 9}}))
                  .sliding_window,
              Each(9));
}

TEST(ArchitectureTest, RefusesExpertsOutOfBounds) {
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const Json heads = {{"num_key_value_heads", 3}};
  for (const auto& [type, key] :
       {std::pair("mixtral", "num_local_experts"), std::pair("qwen3_moe", "num_experts")}) {
    for (const std::int64_t count : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1025}, huge}) {
      refuses(type, with(heads, {{key, count}}), "number of experts is");
    }
    refuses(type, with(heads, {{key, "8"}}), "expected an integer");
    for (const std::int64_t taken : {std::int64_t{0}, std::int64_t{-2}, std::int64_t{9}, huge}) {
      refuses(type, with(heads, {{key, 8}, {"num_experts_per_tok", taken}}),
              "number of experts per token is");
    }
  }
  for (const std::int64_t size : {std::int64_t{0}, std::int64_t{-1}, huge}) {
    refuses("qwen3_moe", with(heads, {{"moe_intermediate_size", size}}), "intermediate size is");
    refuses("qwen3_moe", with(heads, {{"moe_intermediate_size", size}, {"mlp_only_layers", {0}}}),
            "intermediate size is");
    refuses("mixtral", with(heads, {{"intermediate_size", size}}), "intermediate size is");
  }
  refuses("qwen3_moe", with(heads, {{"decoder_sparse_step", 0}}), "decoder_sparse_step is 0");
  refuses("qwen3_moe", with(heads, {{"mlp_only_layers", 1}}), "'mlp_only_layers'");
}

TEST(ArchitectureTest, Gpt2) {
  const Architecture a = parse("gpt2");
  EXPECT_TRUE(a.conv1d);
  EXPECT_TRUE(a.learned_positions);
  EXPECT_EQ(a.position_offset, 0);
  EXPECT_FALSE(a.rotary);
  EXPECT_FALSE(a.gated);
  EXPECT_TRUE(a.tie_word_embeddings);
  EXPECT_EQ(a.activation, Activation::gelu_tanh);
  EXPECT_EQ(a.norm, NormKind::layer);
  EXPECT_EQ(a.norm_eps, 1e-5);
  EXPECT_EQ(a.fused_layout, FusedLayout::blocks);
  EXPECT_EQ(a.out_features(0, LinearRole::qkv_proj), 3 * 48);
  EXPECT_EQ(parse("gpt2", {{"n_inner", 77}}).intermediate_size, 77);
  EXPECT_EQ(parse("gpt2", {{"n_inner", nullptr}}).intermediate_size, 192);
  EXPECT_FALSE(parse("gpt2", {{"tie_word_embeddings", false}}).tie_word_embeddings);
  EXPECT_THAT(parse("gpt2", {{"scale_attn_weights", false}}).attention_scale, Each(1.0));
  const double scale = 1 / std::sqrt(8.0);
  EXPECT_THAT(parse("gpt2", {{"scale_attn_by_inverse_layer_idx", true}}).attention_scale,
              ElementsAre(testing::DoubleEq(scale), testing::DoubleEq(scale / 2),
                          testing::DoubleEq(scale / 3)));
  refuses("gpt2", {{"add_cross_attention", true}}, "add_cross_attention is true");
  refuses("gpt2", {{"n_embd", nullptr}}, "'n_embd' is missing");
  refuses("gpt2", {{"n_embd", std::numeric_limits<std::int64_t>::max()}}, "hidden size");
}

TEST(ArchitectureTest, Opt) {
  const Architecture a = parse("opt");
  EXPECT_EQ(a.position_offset, 2);
  EXPECT_EQ(a.activation, Activation::relu);
  EXPECT_FALSE(a.norm_after);
  EXPECT_TRUE(a.final_norm);
  EXPECT_TRUE(a.tie_word_embeddings);
  EXPECT_FALSE(a.projected_embeddings);
  EXPECT_EQ(a.biases.size(), 6U);
  const Architecture post = parse("opt", {{"do_layer_norm_before", false},
                                          {"word_embed_proj_dim", 20},
                                          {"enable_bias", false},
                                          {"layer_norm_elementwise_affine", false}});
  EXPECT_TRUE(post.norm_after);
  EXPECT_FALSE(post.final_norm);
  EXPECT_TRUE(post.projected_embeddings);
  EXPECT_EQ(post.embedding_size, 20);
  EXPECT_FALSE(post.norm_affine);
  EXPECT_THAT(post.biases, testing::IsEmpty());
  EXPECT_FALSE(parse("opt", {{"_remove_final_layer_norm", true}}).final_norm);
  refuses("opt", {{"word_embed_proj_dim", 0}}, "embedding size is 0");
}

TEST(ArchitectureTest, GptNeoX) {
  const Architecture a = parse("gpt_neox", {{"num_attention_heads", 3}});
  EXPECT_EQ(a.rope.dimensions, 4) << "a quarter of 16";
  EXPECT_EQ(a.rope.theta, 10000);
  EXPECT_TRUE(a.parallel_residual);
  EXPECT_EQ(a.fused_layout, FusedLayout::heads);
  EXPECT_FALSE(a.tie_word_embeddings);
  EXPECT_EQ(a.activation, Activation::gelu);
  EXPECT_EQ(a.biases.size(), 4U);
  const Architecture other = parse("gpt_neox", {{"rotary_pct", 1.0},
                                                {"rotary_emb_base", 300},
                                                {"use_parallel_residual", false},
                                                {"attention_bias", false}});
  EXPECT_EQ(other.rope.dimensions, 8);
  EXPECT_EQ(other.rope.theta, 300);
  EXPECT_FALSE(other.parallel_residual);
  EXPECT_THAT(other.biases, ElementsAre(LinearRole::up_proj, LinearRole::down_proj));
  const Json parameters = {{"rope_theta", 20}, {"partial_rotary_factor", 0.5}};
  EXPECT_EQ(parse("gpt_neox", {{"rope_parameters", parameters}}).rope.dimensions, 4);
  refuses("gpt_neox", {{"rotary_pct", 0}}, "rotary_pct is 0");
  refuses("gpt_neox", {{"rotary_pct", 0.2}}, "1 rotary dimensions in heads of 8");
  refuses("llama", {{"head_dim", std::numeric_limits<std::int64_t>::max()}}, "head size");
}

TEST(ArchitectureTest, NamesWhatIsUnknown) {
  refuses(Json::object(), "'model_type' is missing");
  refuses({{"model_type", "mamba"}},
          "'mamba' is not a known family; known are gpt2, gpt_neox, llama, mistral, mixtral, "
          "opt, qwen2, qwen3, qwen3_moe");
  refuses("llama", {{"hidden_act", "mish"}}, "hidden_act 'mish'");
  refuses("gpt2", {{"activation_function", "mish"}}, "activation_function 'mish'");
  refuses("llama", {{"rope_scaling", {{"rope_type", "longrope"}, {"factor", 2}}}}, "'longrope'");
  refuses("llama", {{"rope_scaling", {{"type", "linear"}}}}, "'factor' is missing");
  refuses("llama", {{"rope_scaling", {{"type", "llama3"}, {"factor", 2}}}},
          "'low_freq_factor' is missing");
  refuses(Json::array(), "expected an object");
}

TEST(ArchitectureTest, RefusesSizesOutOfBounds) {
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "max_position_embeddings", "intermediate_size"}) {
    for (const std::int64_t size : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 33, huge,
                                    std::numeric_limits<std::int64_t>::min()}) {
      refuses("llama", {{key, size}}, "expected 1 to");
    }
    refuses("llama", {{key, 2.5}}, "expected an integer");
    refuses("llama", {{key, "8"}}, "expected an integer, found string");
    refuses("llama", {{key, std::numeric_limits<std::uint64_t>::max()}}, "expected an integer");
  }
  refuses("llama", {{"num_attention_heads", 64}}, "head size is 0");
  refuses("llama", {{"num_key_value_heads", 4}}, "6 attention heads cannot share 4");
  refuses("llama", {{"head_dim", 7}}, "7 rotary dimensions");
  refuses("llama", {{"rms_norm_eps", 1}}, "epsilon is 1");
}

// Parameters that are fine alone and give no frequencies together.
TEST(ArchitectureTest, RefusesRotaryFrequenciesThatAreNotNumbers) {
  refuses("llama", {{"rope_theta", 0}}, "rope_theta is 0");
  refuses("llama", {{"rope_theta", -5}}, "rope_theta is -5");
  refuses("llama", {{"rope_theta", 1e-300}}, "rotary frequency of inf");
  const Json yarn = {{"type", "yarn"}, {"factor", 4}};
  refuses("llama", {{"rope_scaling", with(yarn, {{"beta_fast", -1}})}},
          "rope_scaling give a rotary frequency");
  const Json scales = {{"mscale", 1}, {"mscale_all_dim", -10 / std::log(4.0)}};
  refuses("llama", {{"rope_scaling", with(yarn, scales)}}, "attention factor");
}

TEST(ArchitectureTest, EveryTestedVariantIsAccepted) {
  std::set<std::string> families;
  for (const auto& [name, checkpoint] : test::random_checkpoints()) {
    SCOPED_TRACE(name);
    const Architecture a = parse_architecture(checkpoint.config);
    families.insert(a.family);
    if (!a.rotary) continue;
    for (const float frequency : rotary_frequencies(a.rope, 40)) EXPECT_GT(frequency, 0);
  }
  EXPECT_EQ(families.size(), 9U);
}

}  // namespace
}  // namespace terse
