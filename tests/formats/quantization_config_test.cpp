#include "terse/formats/quantization_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "terse/formats/sparse_config.h"

namespace terse {
namespace {

using test::expect_error;

using enum QuantizationStrategy;

// What a published checkpoint holds (4 bits, groups of 128), with every key.
Json published() {
  return parse_json(R"({
    "config_groups": {"group_0": {
      "format": "pack-quantized", "input_activations": null, "output_activations": null,
      "targets": ["Linear"],
      "weights": {"actorder": "weight", "block_structure": null, "dynamic": false,
        "group_size": 128, "num_bits": 4, "observer": "minmax", "observer_kwargs": {},
        "scale_dtype": null, "strategy": "group", "symmetric": true, "type": "int",
        "zp_dtype": null}}},
    "format": "pack-quantized", "global_compression_ratio": null, "ignore": ["lm_head"],
    "kv_cache_scheme": null, "quant_method": "compressed-tensors",
    "quantization_status": "compressed", "sparsity_config": {}, "transform_config": {},
    "version": "0.12.2"})");
}

Json& weights_of(Json& config) {
  return config["config_groups"]["group_0"]["weights"];
}

QuantizationScheme parsed_scheme(const Json& weights) {
  Json config = published();
  weights_of(config) = weights;
  return QuantizationConfig::parse(config).groups.at(0).scheme;
}

QuantizationConfig config_of(std::vector<QuantizationGroup> groups,
                             std::vector<std::string> ignore = {}) {
  return {std::move(groups), std::move(ignore)};
}

TEST(QuantizationConfig, ReadsAPublishedConfig) {
  const QuantizationConfig config = QuantizationConfig::parse(published());
  const QuantizationScheme scheme{4, true, group, 128, ActivationOrdering::weight};
  EXPECT_EQ(config, config_of({{{"Linear"}, scheme}}, {"lm_head"}));
}

TEST(QuantizationConfig, WhatIsWrittenHasEveryKeyAndIsReadBack) {
  const QuantizationConfig config =
      config_of({{{"Linear"}, {3, false, group, 64, ActivationOrdering::group}},
                 {{"re:.*embed.*", "lm_head"}, {8, true, channel}},
                 {{"model.layers.0.mlp.up_proj"}, {2, false, tensor}}},
                {"model.layers.1.mlp.up_proj"});
  const Json json = config.to_json();
  Json published_config = published();
  for (const auto& [key, value] : published_config.items()) EXPECT_TRUE(json.contains(key)) << key;
  const Json& written = json["config_groups"]["group_0"];
  for (const auto& [key, value] : published_config["config_groups"]["group_0"].items()) {
    EXPECT_TRUE(written.contains(key)) << key;
  }
  for (const char* key : {"actorder", "block_structure", "dynamic", "group_size", "num_bits",
                          "observer", "strategy", "symmetric", "type"}) {
    EXPECT_TRUE(written["weights"].contains(key)) << key;
  }
  EXPECT_EQ(QuantizationConfig::parse(parse_json(json.dump())), config);
}

TEST(QuantizationConfig, FillsInWhatTheReferenceFillsIn) {
  EXPECT_EQ(parsed_scheme(Json::object()), (QuantizationScheme{8, true, tensor}));
  EXPECT_EQ(parsed_scheme({{"group_size", -1}, {"num_bits", 4}}),
            (QuantizationScheme{4, true, channel}));
  EXPECT_EQ(parsed_scheme({{"group_size", 32}, {"num_bits", 4}, {"symmetric", false}}),
            (QuantizationScheme{4, false, group, 32}));
  const auto with_actorder = [](const Json& actorder) {
    return parsed_scheme({{"group_size", 32}, {"actorder", actorder}}).actorder;
  };
  EXPECT_EQ(with_actorder(true), ActivationOrdering::group);
  EXPECT_EQ(with_actorder(false), ActivationOrdering::none);
  EXPECT_EQ(with_actorder(nullptr), ActivationOrdering::none);
  EXPECT_EQ(with_actorder("dynamic"), ActivationOrdering::group);
  EXPECT_EQ(with_actorder("static"), ActivationOrdering::weight);
}

TEST(QuantizationConfig, AcceptsOlderAndSparserConfigs) {
  Json config = published();
  config["quantization_status"] = "frozen";
  config["format"] = "mixed-precision";
  config["ignore"] = nullptr;
  for (const char* key : {"sparsity_config", "transform_config", "kv_cache_scheme", "version"}) {
    config.erase(key);
  }
  EXPECT_TRUE(QuantizationConfig::parse(config).ignore.empty());
}

TEST(QuantizationConfig, RefusesWhatItCannotReadAndNamesIt) {
  const auto refused = [](const std::string& says, const auto& spoil) {
    Json config = published();
    spoil(config);
    expect_error(ErrorKind::bad_input, says, [&] { QuantizationConfig::parse(config); });
  };
  refused("key 'quant_method': 'gptq' is not supported",
          [](Json& c) { c["quant_method"] = "gptq"; });
  refused("key 'format': 'nvfp4-pack-quantized' is not supported",
          [](Json& c) { c["format"] = "nvfp4-pack-quantized"; });
  refused("group_0: key 'format': 'float-quantized' is not supported",
          [](Json& c) { c["config_groups"]["group_0"]["format"] = "float-quantized"; });
  refused("'calibration' is not supported",
          [](Json& c) { c["quantization_status"] = "calibration"; });
  refused("key 'kv_cache_scheme': {\"num_bits\":8} is not supported", [](Json& c) {
    c["kv_cache_scheme"] = {{"num_bits", 8}};
  });
  refused("sparsity_config", [](Json& c) { c["sparsity_config"] = {{"format", "marlin-24"}}; });
  refused("transform_config", [](Json& c) {
    c["transform_config"] = {{"config_groups", {{"u", Json::object()}}}};
  });
  refused("output_activations", [](Json& c) {
    c["config_groups"]["group_0"]["output_activations"] = {{"num_bits", 8}};
  });
  refused("key 'config_groups' is missing", [](Json& c) { c.erase("config_groups"); });
  refused("W4A16: expected an object with targets and weights, found array", [](Json& c) {
    c["config_groups"] = {{"W4A16", {"Linear"}}};
  });
  refused("key 'weights' is missing",
          [](Json& c) { c["config_groups"]["group_0"]["weights"] = nullptr; });
  refused("key 'targets': expected strings, found number",
          [](Json& c) { c["config_groups"]["group_0"]["targets"] = {1}; });
  refused("target 'Linear' is given twice",
          [](Json& c) { c["config_groups"]["group_1"] = c["config_groups"]["group_0"]; });
  refused("target 're:(': not a regular expression: missing closing parenthesis",
          [](Json& c) { c["ignore"] = {"re:("}; });
  refused("expected an object", [](Json& c) { c = Json::array(); });
}

TEST(QuantizationConfig, RefusesWeightsThatItCannotReadAndNamesThem) {
  const auto refused = [](const std::string& key, const Json& value, const std::string& says) {
    Json config = published();
    weights_of(config)[key] = value;
    expect_error(ErrorKind::bad_input, says, [&] { QuantizationConfig::parse(config); });
  };
  refused("type", "float", "weights: key 'type': 'float' is not supported; expected 'int'");
  refused("num_bits", 1, "key 'num_bits': 1 is not 2 to 8");
  refused("num_bits", 9, "key 'num_bits': 9 is not 2 to 8");
  refused("num_bits", "4", "key 'num_bits': expected an integer, found string");
  refused("strategy", "block", "key 'strategy': 'block' is not supported");
  refused("strategy", "channel", "key 'group_size': needs the strategy group, found channel");
  refused("group_size", 0, "key 'group_size': 0 is not positive");
  refused("group_size", -2, "key 'group_size': -2 is not positive");
  refused("group_size", nullptr, "key 'group_size' is missing");
  refused("actorder", "random", "key 'actorder': 'random' is not supported");
  refused("dynamic", true, "key 'dynamic': true is not supported");
  refused("dynamic", "local", "key 'dynamic': \"local\" is not supported");
  refused("block_structure", {128, 128}, "key 'block_structure': [128,128] is not supported");
}

// As llm-compressor writes a W8A8 checkpoint.
Json published_int8() {
  Json config = published();
  config["format"] = "int-quantized";
  Json& group = config["config_groups"]["group_0"];
  group["format"] = "int-quantized";
  group["weights"] = {
      {"num_bits", 8}, {"type", "int"}, {"symmetric", true}, {"strategy", "channel"}};
  group["input_activations"] = {{"actorder", nullptr}, {"block_structure", nullptr},
                                {"dynamic", true},     {"group_size", nullptr},
                                {"num_bits", 8},       {"observer", nullptr},
                                {"strategy", "token"}, {"symmetric", true},
                                {"type", "int"}};
  return config;
}

TEST(QuantizationConfig, ReadsActivations) {
  const QuantizationConfig dynamic = QuantizationConfig::parse(published_int8());
  QuantizationScheme scheme{.bits = 8, .symmetric = true, .strategy = channel};
  scheme.activations = ActivationScheme{8, true, ActivationStrategy::token};
  EXPECT_EQ(dynamic, config_of({{{"Linear"}, scheme}}, {"lm_head"}));

  Json config = published_int8();
  config["config_groups"]["group_0"]["input_activations"] = {{"num_bits", 6}, {"symmetric", false}};
  scheme.activations = ActivationScheme{6, false, ActivationStrategy::tensor};
  EXPECT_EQ(QuantizationConfig::parse(config).groups.at(0).scheme, scheme);
}

TEST(QuantizationConfig, FormatsAreThoseOfTheSchemes) {
  const QuantizationScheme packed{.bits = 4};
  QuantizationScheme bytes{.bits = 8, .symmetric = true, .strategy = channel};
  bytes.activations = ActivationScheme{};
  QuantizationScheme narrow{.bits = 4};
  narrow.activations = ActivationScheme{8, false, ActivationStrategy::tensor};
  const auto formats = [](const QuantizationConfig& config) {
    const Json json = config.to_json();
    std::vector<std::string> found{json["format"]};
    for (const Json& group : json["config_groups"]) found.push_back(group["format"]);
    EXPECT_EQ(QuantizationConfig::parse(parse_json(json.dump())), config);
    return found;
  };
  using Formats = std::vector<std::string>;
  EXPECT_EQ(formats(config_of({{{"Linear"}, packed}, {{"a"}, narrow}})),
            (Formats{"pack-quantized", "pack-quantized", "pack-quantized"}));
  EXPECT_EQ(formats(config_of({{{"Linear"}, bytes}})), (Formats{"int-quantized", "int-quantized"}));
  EXPECT_EQ(formats(config_of({{{"Linear"}, bytes}, {{"a"}, packed}})),
            (Formats{"mixed-precision", "int-quantized", "pack-quantized"}));
}

TEST(QuantizationConfig, RefusesActivationsThatItCannotRound) {
  const auto refused = [](const std::string& key, const Json& value, const std::string& says) {
    Json config = published_int8();
    config["config_groups"]["group_0"]["input_activations"][key] = value;
    expect_error(ErrorKind::bad_input, says, [&] { QuantizationConfig::parse(config); });
  };
  refused("type", "float", "input_activations: key 'type': 'float' is not supported");
  refused("num_bits", 16, "key 'num_bits': 16 is not 2 to 8");
  refused("strategy", "tensor", "key 'strategy': 'tensor' is not supported; expected 'token'");
  refused("strategy", nullptr, "tensor is not supported where dynamic");
  refused("strategy", "group", "key 'strategy': 'group'");
  refused("dynamic", false, "key 'strategy': 'token' is not supported; expected 'tensor'");
  refused("dynamic", "local", "key 'dynamic'");
  refused("group_size", 128, "key 'group_size'");
  refused("actorder", "group", "key 'actorder'");
}

TEST(QuantizationConfig, SparseFilesOfOldNeedNoGroups) {
  const Json config = parse_json(R"({"quant_method": "compressed-tensors", "version": "0.9.0",
    "sparsity_config": {"format": "sparse-24-bitmask", "global_sparsity": 0.49,
      "ignore": ["lm_head"], "registry_requires_subclass": false, "sparsity_structure": "2:4",
      "targets": ["Linear"]}})");
  EXPECT_EQ(QuantizationConfig::parse(config), QuantizationConfig());
  EXPECT_EQ(legacy_sparse_layout(config), SparseLayout::two_four);
  Json dense = config;
  dense["format"] = "dense";
  dense["sparsity_config"]["format"] = "sparse-bitmask";
  dense["config_groups"] = Json::object();
  EXPECT_EQ(QuantizationConfig::parse(dense), QuantizationConfig());
  EXPECT_EQ(legacy_sparse_layout(dense), SparseLayout::bitmap);
  dense["sparsity_config"] = Json::object();
  EXPECT_EQ(legacy_sparse_layout(dense), std::nullopt);
  expect_error(ErrorKind::bad_input, "key 'format': 'dense'",
               [&] { QuantizationConfig::parse(dense); });
}

TEST(QuantizationConfig, RefusesGroupOrderWithoutGroups) {
  Json config = published();
  weights_of(config) = {{"group_size", -1}, {"actorder", "group"}};
  expect_error(ErrorKind::bad_input, "group needs the strategy group",
               [&] { QuantizationConfig::parse(config); });
}

int bits_for(const QuantizationConfig& config, std::string_view name,
             std::string_view module_class = "Linear") {
  const QuantizationScheme* scheme = config.scheme_for(name, module_class);
  return scheme == nullptr ? 0 : scheme->bits;
}

TEST(QuantizationConfig, TargetsMatchClassesNamesAndExpressions) {
  const QuantizationConfig config =
      config_of({{{"Linear"}, {4}}, {{"re:.*down_proj$", "lm_head"}, {8}}, {{"Embedding"}, {6}}});
  EXPECT_EQ(bits_for(config, "model.layers.0.mlp.up_proj"), 4);
  EXPECT_EQ(bits_for(config, "model.layers.0.mlp.down_proj"), 8);
  EXPECT_EQ(bits_for(config, "model.layers.0.mlp.down_proj.inner"), 4);
  EXPECT_EQ(bits_for(config, "lm_head"), 8);
  EXPECT_EQ(bits_for(config, "model.lm_head"), 4);
  EXPECT_EQ(bits_for(config, "model.embed_tokens", "Embedding"), 6);
  EXPECT_EQ(bits_for(config, "model.norm", "LlamaRMSNorm"), 0);
  EXPECT_EQ(bits_for(config, "Linear", "Linear"), 4);
}

TEST(QuantizationConfig, ExpressionsMatchFromTheStartOnly) {
  const QuantizationConfig config = config_of({{{"re:layers", "re:a|b"}, {4}}});
  EXPECT_EQ(bits_for(config, "layers.0.up_proj"), 4);
  EXPECT_EQ(bits_for(config, "model.layers.0.up_proj"), 0);
  EXPECT_EQ(bits_for(config, "b.c"), 4);
  EXPECT_EQ(bits_for(config, "cb"), 0);  // the second alternative is anchored too
}

TEST(QuantizationConfig, TheMostSpecificTargetWins) {
  const QuantizationConfig config =
      config_of({{{"Linear"}, {2}}, {{"re:b.*"}, {3}}, {{"re:.*"}, {4}}, {{"bc"}, {5}}});
  EXPECT_EQ(bits_for(config, "bc"), 5);
  EXPECT_EQ(bits_for(config, "bd"), 4);  // "re:.*" sorts before "re:b.*"
  const QuantizationConfig classes = config_of({{{"Linear"}, {2}}, {{"re:b.*"}, {3}}});
  EXPECT_EQ(bits_for(classes, "bd"), 3);
  EXPECT_EQ(bits_for(classes, "d"), 2);
}

TEST(QuantizationConfig, IgnoreWinsOverEveryTarget) {
  const QuantizationConfig config =
      config_of({{{"Linear", "Embedding", "a.gate"}, {4}}}, {"lm_head", "re:.*gate", "Embedding"});
  EXPECT_EQ(bits_for(config, "lm_head"), 0);
  EXPECT_EQ(bits_for(config, "a.gate"), 0);
  EXPECT_EQ(bits_for(config, "embed", "Embedding"), 0);
  EXPECT_EQ(bits_for(config, "a.up"), 4);
}

TEST(QuantizationConfig, AnExpressionThatNeverEndsIsRefused) {
  const QuantizationConfig config = config_of({{{"re:(x+x+)+y"}, {4}}});
  expect_error(ErrorKind::bad_input, "target 're:(x+x+)+y': cannot match",
               [&] { bits_for(config, std::string(200, 'x').append("zy")); });
}

}  // namespace
}  // namespace terse
