// The reference itself, against numbers from an independent PyTorch forward pass and against
// properties that the families must have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "support/family_variants.h"
#include "support/reference_math.h"
#include "support/reference_model.h"
#include "support/reference_rope.h"
#include "support/reference_safetensors.h"

namespace terse::test {
namespace {

using nlohmann::json;

std::filesystem::path source_directory() {
  return TERSE_SOURCE_DIR;
}

std::filesystem::path shared_directory() {
  const char* from_environment = std::getenv("TERSE_SHARED");
  return from_environment != nullptr ? std::filesystem::path(from_environment)
                                     : source_directory() / ".." / "shared";
}

json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  return json::parse(in);
}

std::vector<int> some_ids(int count, int vocab = 67) {
  std::vector<int> ids;
  for (int i = 0; i < count; ++i) ids.push_back((i * i * 7 + i * 11 + 3) % vocab);
  return ids;
}

double log_sum_exp(const std::vector<double>& logits) {
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  return std::log(sum);
}

void expect_relative(double actual, double expected, double tolerance) {
  EXPECT_NEAR(actual, expected, tolerance * std::max(1.0, std::fabs(expected)));
}

TEST(Reference, Stories260KLogitsAreThoseOfPyTorch) {
  const auto model = shared_directory() / "models" / "stories260K";
  const auto oracle_path = shared_directory() / "oracle" / "stories260K.json";
  if (!std::filesystem::exists(oracle_path)) {
    GTEST_SKIP() << "shared data is absent: " << oracle_path;
  }
  const json oracle = read_json(oracle_path);
  const auto logits = reference_logits(read_json(model / "config.json"),
                                       read_safetensors(model / "model.safetensors"),
                                       oracle.at("prompt_ids").get<std::vector<int>>());
  const auto expected = oracle.at("logits_at_last_prompt_position").get<std::vector<double>>();
  ASSERT_EQ(logits.back().size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    expect_relative(logits.back()[i], expected[i], 1e-4);
  }
}

TEST(Reference, DocsLlamaLogitsAreThoseOfPyTorch) {
  const auto model = source_directory() / "models" / "docs-llama";
  const json oracle = read_json(source_directory() / "tests" / "oracle" / "docs-llama.json");
  const auto logits = reference_logits(read_json(model / "config.json"),
                                       read_safetensors(model / "model.safetensors"),
                                       oracle.at("prompt_ids").get<std::vector<int>>())
                          .back();
  const auto first =
      oracle.at("logits_at_last_prompt_position_first_32").get<std::vector<double>>();
  ASSERT_EQ(first.size(), 32U);
  for (std::size_t i = 0; i < first.size(); ++i) expect_relative(logits[i], first[i], 1e-4);
  expect_relative(log_sum_exp(logits), oracle.at("logsumexp_at_last_prompt_position"), 1e-4);
  for (const json& top : oracle.at("top5_at_last_prompt_position")) {
    expect_relative(logits.at(top.at(0).get<std::size_t>()), top.at(1), 1e-4);
  }
}

// The families and their options, against the code that defines them. The numbers have no families
// with experts: their reference is held to that of the dense ones
// below.
TEST(Reference, LogitsAreThoseOfTransformers) {
  const json oracle = read_json(source_directory() / "tests" / "oracle" / "families.json");
  const auto checkpoints = random_checkpoints();
  ASSERT_EQ(oracle.at("logits").size(), dense_family_variants().size());
  for (const auto& [name, checkpoint] : checkpoints) {
    if (checkpoint.config.contains("num_experts_per_tok")) continue;
    for (int i = 0; i < 2; ++i) {
      const int length = oracle.at("last_of").at(i);
      const auto expected = oracle.at("logits").at(name).at(i).get<std::vector<double>>();
      const auto last =
          reference_logits(checkpoint.config, checkpoint.weights, some_ids(length)).back();
      ASSERT_EQ(expected.size(), 8U);
      for (std::size_t word = 0; word < expected.size(); ++word) {
        EXPECT_NEAR(last[word], expected[word], 1e-4) << name << ", length " << length;
      }
    }
  }
}

// The weights of a dense family with those of the first expert as its MLP, and the family with
// experts whose experts are all like the first.
std::pair<ReferenceWeights, ReferenceWeights> with_one_expert(const RandomCheckpoint& checkpoint,
                                                              const std::string& mlp,
                                                              const std::string& dense_mlp,
                                                              const std::vector<std::string>& names,
                                                              int experts) {
  static const std::vector<std::string> kDense = {"gate_proj", "up_proj", "down_proj"};
  ReferenceWeights dense = checkpoint.weights;
  ReferenceWeights alike = checkpoint.weights;
  for (int layer = 0; layer < checkpoint.config.at("num_hidden_layers"); ++layer) {
    const std::string block = "model.layers." + std::to_string(layer) + ".";
    for (std::size_t i = 0; i < names.size(); ++i) {
      const ReferenceTensor& first =
          checkpoint.weights.at(block + mlp + "experts.0." + names[i] + ".weight");
      dense[block + dense_mlp + kDense[i] + ".weight"] = first;
      for (int e = 1; e < experts; ++e) {
        alike[block + mlp + "experts." + std::to_string(e) + "." + names[i] + ".weight"] = first;
      }
    }
  }
  return {dense, alike};
}

// Shares that sum to one of experts that are alike are one expert: the dense family, which
// transformers' numbers vouch for.
TEST(Reference, ExpertsThatAreAlikeAreOneMlp) {
  const auto expect_same = [](const std::string& name, const json& dense_config,
                              const std::string& mlp, const std::vector<std::string>& names,
                              int experts) {
    RandomCheckpoint checkpoint;
    for (const FamilyVariant& each : family_variants()) {
      if (each.name == name) checkpoint = each.checkpoint();
    }
    const auto [dense, alike] = with_one_expert(checkpoint, mlp, "mlp.", names, experts);
    json config = checkpoint.config;
    config.update(dense_config);
    const auto expected = reference_logits(config, dense, some_ids(20)).back();
    const auto found = reference_logits(checkpoint.config, alike, some_ids(20)).back();
    const auto other = reference_logits(checkpoint.config, checkpoint.weights, some_ids(20)).back();
    double most = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(found[i], expected[i], 1e-9) << name;
      most = std::max(most, std::fabs(other[i] - expected[i]));
    }
    EXPECT_GT(most, 0.01) << name;
  };
  expect_same("mixtral", {{"model_type", "mistral"}}, "block_sparse_moe.", {"w1", "w3", "w2"}, 4);
  expect_same("qwen3_moe", {{"model_type", "qwen3"}, {"intermediate_size", 20}}, "mlp.",
              {"gate_proj", "up_proj", "down_proj"}, 6);
}

class EveryVariant : public testing::TestWithParam<FamilyVariant> {
 protected:
  const RandomCheckpoint checkpoint_ = GetParam().checkpoint();

  std::vector<std::vector<double>> logits(const std::vector<int>& ids) {
    return reference_logits(checkpoint_.config, checkpoint_.weights, ids);
  }
};

// Dynamic scaling alone depends on the length of the whole sequence, so the length is kept.
TEST_P(EveryVariant, LaterTokensLeaveEarlierLogitsUnchanged) {
  std::vector<int> ids = some_ids(40);
  const auto before = logits(ids);
  ids[25] = (ids[25] + 1) % 67;
  const auto after = logits(ids);
  for (int t = 0; t < 25; ++t) EXPECT_EQ(before[t], after[t]) << "position " << t;
  EXPECT_NE(before[25], after[25]);
  EXPECT_NE(before[26], after[26]);
}

TEST_P(EveryVariant, OrderMattersAndLogitsAreOfOrderOne) {
  std::vector<int> ids = some_ids(40);
  const auto before = logits(ids);
  double square = 0;
  for (const double logit : before.back()) square += logit * logit / 67;
  EXPECT_GT(std::sqrt(square), 0.3);
  EXPECT_LT(std::sqrt(square), 10);
  ASSERT_NE(ids[36], ids[38]);
  std::swap(ids[36], ids[38]);
  const auto after = logits(ids);
  double most = 0;
  for (int i = 0; i < 67; ++i) most = std::max(most, std::fabs(before[39][i] - after[39][i]));
  EXPECT_GT(most, 0.01);
}

TEST_P(EveryVariant, FilesHoldTheRoundedWeights) {
  const auto directory =
      std::filesystem::path(testing::TempDir()) / ("terse_reference_" + GetParam().name);
  for (const std::string dtype : {"F32", "F16", "BF16"}) {
    write_checkpoint(checkpoint_, directory, dtype);
    const RandomCheckpoint expected = rounded(checkpoint_, dtype);
    const ReferenceWeights found = read_safetensors(directory / "model.safetensors");
    ASSERT_EQ(found.size(), expected.weights.size());
    for (const auto& [name, tensor] : expected.weights) {
      EXPECT_EQ(found.at(name).shape, tensor.shape) << name;
      EXPECT_EQ(found.at(name).values, tensor.values) << name << " as " << dtype;
    }
    EXPECT_EQ(dtype == "F32", expected.weights.begin()->second.values ==
                                  checkpoint_.weights.begin()->second.values);
  }
  std::filesystem::remove_all(directory);
}

INSTANTIATE_TEST_SUITE_P(Reference, EveryVariant, testing::ValuesIn(family_variants()),
                         [](const auto& variant) { return variant.param.name; });

RandomCheckpoint variant(const std::string& name) {
  const auto all = family_variants();
  const auto found = std::ranges::find(all, name, &FamilyVariant::name);
  if (found == all.end()) throw std::runtime_error("no variant " + name);
  return found->checkpoint();
}

// What the logits of the last of 40 positions change by when the config says something else over
// the same weights.
double change(const std::string& name, const json& other) {
  RandomCheckpoint checkpoint = variant(name);
  const auto before = reference_logits(checkpoint.config, checkpoint.weights, some_ids(40)).back();
  checkpoint.config.merge_patch(other);
  const auto after = reference_logits(checkpoint.config, checkpoint.weights, some_ids(40)).back();
  double most = 0;
  for (int i = 0; i < 67; ++i) most = std::max(most, std::fabs(before[i] - after[i]));
  return most;
}

// A forward pass that ignores an option, or takes its default, must not pass for a right one.
TEST(Reference, EveryOptionShowsInTheLogits) {
  const std::vector<std::pair<std::string, json>> ignored = {
      {"llama", {{"rope_theta", 500.0}}},
      {"llama", {{"rms_norm_eps", 1e-2}}},
      {"llama_rope_linear", {{"rope_scaling", nullptr}}},
      {"llama_rope_dynamic", {{"rope_scaling", nullptr}}},
      {"llama_rope_dynamic", {{"max_position_embeddings", 24}}},
      {"llama_rope_llama3", {{"rope_scaling", nullptr}}},
      {"llama_rope_llama3", {{"rope_scaling", {{"low_freq_factor", 0.5}}}}},
      {"llama_rope_llama3", {{"rope_scaling", {{"high_freq_factor", 4.0}}}}},
      {"llama_rope_llama3", {{"rope_scaling", {{"original_max_position_embeddings", 64}}}}},
      {"llama_rope_yarn", {{"rope_scaling", nullptr}}},
      {"llama_rope_yarn", {{"rope_scaling", {{"beta_fast", nullptr}}}}},
      {"llama_rope_yarn", {{"rope_scaling", {{"beta_slow", nullptr}}}}},
      {"llama_rope_yarn", {{"rope_scaling", {{"attention_factor", 1.0}}}}},
      {"llama_rope_yarn", {{"rope_scaling", {{"original_max_position_embeddings", 64}}}}},
      {"llama_rope_yarn_defaults", {{"rope_scaling", nullptr}}},
      {"llama_rope_yarn_untruncated", {{"rope_scaling", {{"truncate", true}}}}},
      {"llama_rope_yarn_untruncated", {{"rope_scaling", {{"attention_factor", nullptr}}}}},
      {"llama_rope_yarn_mscale", {{"rope_scaling", {{"mscale", nullptr}}}}},
      {"llama_rope_yarn_mscale", {{"rope_scaling", {{"mscale_all_dim", 1.0}}}}},
      {"llama_rope_parameters", {{"rope_parameters", nullptr}}},
      {"llama_rope_parameters_llama3", {{"rope_parameters", {{"rope_theta", nullptr}}}}},
      {"mistral_window", {{"sliding_window", nullptr}}},
      {"mistral_window", {{"sliding_window", 6}}},
      {"qwen2", {{"use_sliding_window", true}}},
      {"qwen2_window", {{"max_window_layers", 2}}},
      {"qwen2_layer_types", {{"layer_types", nullptr}}},
      {"qwen2_rope_yarn", {{"rope_scaling", nullptr}}},
      {"qwen3", {{"rope_theta", nullptr}}},
      {"qwen3_window", {{"use_sliding_window", false}}},
      {"mixtral", {{"num_experts_per_tok", 1}}},
      {"mixtral", {{"rope_theta", nullptr}}},
      {"mixtral_window_tied", {{"sliding_window", nullptr}}},
      {"qwen3_moe", {{"norm_topk_prob", false}}},
      {"qwen3_moe", {{"num_experts_per_tok", 2}}},
      {"qwen3_moe", {{"rope_theta", nullptr}}},
      {"qwen3_moe_not_normalised", {{"norm_topk_prob", true}}},
      {"qwen3_moe_biases_window", {{"use_sliding_window", false}}},
      {"gpt2", {{"activation_function", "gelu"}}},
      {"gpt2", {{"layer_norm_epsilon", 1e-2}}},
      {"gpt2_inverse_layer_scale", {{"scale_attn_by_inverse_layer_idx", false}}},
      {"gpt2_unscaled", {{"scale_attn_weights", true}}},
      {"gpt2_untied", {{"tie_word_embeddings", true}}},
      {"opt", {{"_remove_final_layer_norm", true}}},
      {"opt_plain", {{"activation_function", "relu"}}},
      {"opt_post_norm", {{"do_layer_norm_before", true}, {"_remove_final_layer_norm", true}}},
      {"opt_untied", {{"tie_word_embeddings", true}}},
      {"gpt_neox", {{"use_parallel_residual", false}}},
      {"gpt_neox", {{"rotary_pct", 1.0}}},
      {"gpt_neox", {{"hidden_act", "gelu_new"}}},
      {"gpt_neox_rope_dynamic", {{"rope_scaling", nullptr}}},
      {"gpt_neox_rope_parameters", {{"rope_parameters", {{"partial_rotary_factor", nullptr}}}}},
      {"gpt_neox_rope_parameters", {{"rope_parameters", {{"rope_theta", nullptr}}}}},
      {"gpt_neox_rope_parameters", {{"rope_parameters", {{"rope_type", "default"}}}}},
  };
  for (const auto& [name, other] : ignored) {
    // The two forms of GELU are the closest pair, 5e-4 apart at most.
    EXPECT_GT(change(name, other), 2e-4) << name << " with " << other;
  }
}

// The furthest position that still changes the logits of the last of 40 positions.
int reach(const RandomCheckpoint& checkpoint) {
  const std::vector<int> ids = some_ids(40);
  const auto before = reference_logits(checkpoint.config, checkpoint.weights, ids);
  for (int t = 0; t < 40; ++t) {
    std::vector<int> changed = ids;
    changed[t] = (changed[t] + 1) % 67;
    const auto after = reference_logits(checkpoint.config, checkpoint.weights, changed);
    if (after.back() != before.back()) return 39 - t;
  }
  return -1;
}

// A layer with a window of w reaches w - 1 positions back; layers add up.
TEST(Reference, TheSlidingWindowCuts) {
  EXPECT_EQ(reach(variant("mistral_window")), 3 * 4);
  EXPECT_EQ(reach(variant("mistral_no_window")), 39);
  EXPECT_EQ(reach(variant("qwen2")), 39);
  RandomCheckpoint qwen2 = variant("qwen2_window");
  EXPECT_EQ(reach(qwen2), 39);  // Layer 0 is below max_window_layers and sees everything.
  qwen2.config["max_window_layers"] = 0;
  EXPECT_EQ(reach(qwen2), 3 * 4);
  RandomCheckpoint listed = variant("qwen2_layer_types");
  EXPECT_EQ(reach(listed), 39);
  for (json& type : listed.config["layer_types"]) type = "sliding_attention";
  EXPECT_EQ(reach(listed), 3 * 4);
}

// A query and a key rotated together keep their product: scores depend on distance alone.
TEST(Reference, RotationIsRelative) {
  Rope rope = make_rope({{"rope_scaling", {{"type", "linear"}, {"factor", 1.5}}}}, 100, 8, 30);
  rope.attention_factor = 1.3;
  const std::vector<double> feature_q = {0.3, -1, 0.7, 0.2, 1.1, -0.4, 0.9, 0.5, 2.0, -3.0};
  const std::vector<double> feature_k = {-0.6, 0.8, 0.1, 1.2, -0.3, 0.4, -1.5, 0.2, 1.0, 0.5};
  const Rows q = rotate(Rows(30, feature_q), 10, rope);
  const Rows k = rotate(Rows(30, feature_k), 10, rope);
  const auto score = [&](int i, int j) {
    double sum = 0;
    for (int d = 0; d < 8; ++d) sum += q[i][d] * k[j][d];
    return sum;
  };
  EXPECT_NEAR(score(7, 3), score(29, 25), 1e-12);
  EXPECT_GT(std::fabs(score(7, 3) - score(7, 4)), 0.01);
  // Beyond rotary_dim nothing turns and nothing is scaled.
  EXPECT_EQ(q[29][8], 2.0);
  EXPECT_EQ(q[29][9], -3.0);
  // At position 0 only the attention factor shows.
  EXPECT_DOUBLE_EQ(q[0][0], 0.3 * 1.3);
}

TEST(Reference, DynamicScalingStartsBeyondTheTrainedLength) {
  const json config = {{"max_position_embeddings", 16},
                       {"rope_scaling", {{"type", "dynamic"}, {"factor", 3.0}}}};
  const json plain = {{"max_position_embeddings", 16}};
  const auto at = [&](const json& c, int n) {
    return make_rope(c, 100, 16, n).inverse_frequencies;
  };
  EXPECT_EQ(at(config, 16), at(plain, 16));
  // At twice the length the base is theta * (3 * 2 - 2)^(16 / 14).
  const double base = 100 * std::pow(4.0, 16.0 / 14);
  for (int i = 0; i < 8; ++i) {
    EXPECT_DOUBLE_EQ(at(config, 32)[i], std::pow(base, -i / 8.0));
  }
}

// Llama 3.1 8B: the bands of its published scaling (factor 8, 1 and 4, 8192, theta 500000).
TEST(Reference, Llama3ScalingKeepsShortAndDividesLongWavelengths) {
  const json scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 8192}};
  const auto scaled = make_rope({{"rope_scaling", scaling}}, 500000, 128, 1).inverse_frequencies;
  const auto plain = make_rope(json::object(), 500000, 128, 1).inverse_frequencies;
  int kept = 0;
  int divided = 0;
  double previous = 1;
  for (int i = 0; i < 64; ++i) {
    const double ratio = plain[i] / scaled[i];
    kept += ratio == 1;
    divided += std::fabs(ratio - 8) < 1e-12;
    EXPECT_GE(ratio, previous - 1e-12);
    previous = ratio;
  }
  // Wavelength 2 pi theta^(i/64) crosses 2048 after i = 28.2 and 8192 after i = 34.98.
  EXPECT_EQ(kept, 29);
  EXPECT_EQ(divided, 64 - 35);
}

// YaRN for Qwen2.5 (factor 4, 32768, theta 1e6): d(32) = 23.6 and d(1) = 39.6 of 64 pairs.
TEST(Reference, YarnRampsBetweenKeptAndInterpolatedFrequencies) {
  const json scaling = {
      {"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  const Rope rope = make_rope({{"rope_scaling", scaling}}, 1000000, 128, 1);
  const auto plain = make_rope(json::object(), 1000000, 128, 1).inverse_frequencies;
  EXPECT_NEAR(rope.attention_factor, 0.1 * std::log(4.0) + 1, 1e-15);
  for (int i = 0; i < 64; ++i) {
    const double ramp = i <= 23 ? 0 : i >= 40 ? 1 : (i - 23) / 17.0;
    EXPECT_NEAR(rope.inverse_frequencies[i] / plain[i], 1 - ramp * 0.75, 1e-12) << i;
  }
}

TEST(Reference, HalfPrecisionRoundsToNearestEven) {
  EXPECT_EQ(round_to("BF16", 1 + 0x1p-8), 1.0);
  EXPECT_EQ(round_to("BF16", 1 + 3 * 0x1p-8), 1 + 0x1p-6);
  EXPECT_EQ(round_to("F16", 2049.0), 2048.0);
  EXPECT_EQ(round_to("F16", 0x1p-25), 0.0);
  EXPECT_EQ(round_to("F16", 3 * 0x1p-25), 0x1p-23);
  EXPECT_EQ(round_to("F32", 1 + 0x1p-24), 1.0);
}

TEST(Reference, LayoutsStoreTheSameTensorsUnderOtherNames) {
  const auto directory = std::filesystem::path(testing::TempDir()) / "terse_reference_layout";
  const auto names = [&](const std::string& of, const CheckpointLayout& layout) {
    write_checkpoint(variant(of), directory, "F32", layout);
    std::vector<std::string> found;
    for (const auto& [name, tensor] : read_safetensors(directory / "model.safetensors")) {
      found.push_back(name);
    }
    return found;
  };
  using testing::Contains;
  using testing::Not;
  const auto bare = names("gpt2", {.base_model_prefix = false, .legacy_buffers = true});
  EXPECT_THAT(bare, Contains("h.0.attn.c_attn.weight"));
  EXPECT_THAT(bare, Contains("h.1.attn.bias"));
  EXPECT_THAT(bare, Not(Contains("transformer.wte.weight")));
  const auto head = names("opt", {.tied = TiedName::kHead});
  EXPECT_THAT(head, Contains("lm_head.weight"));
  EXPECT_THAT(head, Not(Contains("model.decoder.embed_tokens.weight")));
  const auto both = names("llama_grouped_tied", {.tied = TiedName::kBoth});
  EXPECT_THAT(both, Contains("lm_head.weight"));
  EXPECT_THAT(both, Contains("model.embed_tokens.weight"));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace terse::test
