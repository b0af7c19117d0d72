#include "terse/model/storage_config.h"

#include <gtest/gtest.h>

#include "terse/formats/quantization_config.h"
#include "terse/formats/terse_config.h"

namespace terse {
namespace {

using Names = std::vector<std::string>;

StorageContext context(bool tied = false) {
  return {{"b.0.q", "b.0.up", "b.1.q", "b.1.up"}, "embed", "head", tied, {}};
}

Json integers(int bits) {
  return {{"quantization", group_json({.bits = bits})}, {"unused", nullptr}};
}

Json sparse(const char* layout) {
  return parse_json(std::string(R"({"layout": ")") + layout + R"("})");
}

Json config_of(const std::vector<ModuleStorage>& modules, const StorageContext& about) {
  Json config = {{"model_type", "llama"}};
  add_storage_config(config, modules, about);
  return config;
}

QuantizationConfig quantization(const Json& config) {
  return QuantizationConfig::parse(config.at("quantization_config"));
}

TEST(StorageConfig, DenseModelsNeedNone) {
  EXPECT_EQ(config_of({{"b.0.q", "Linear", nullptr}}, context()).dump(),
            R"({"model_type":"llama"})");
}

TEST(StorageConfig, OneSchemeTargetsTheClass) {
  const Json config = config_of({{"b.0.q", "Linear", integers(4)},
                                 {"b.1.up", "Linear", integers(4)},
                                 {"b.0.up", "Linear", integers(4)}},
                                context());
  const QuantizationConfig expected{{{{"Linear"}, {.bits = 4}}}, {"b.1.q", "head"}};
  EXPECT_EQ(config.at("quantization_config"), expected.to_json());
  EXPECT_FALSE(config.contains("terse_config"));
}

TEST(StorageConfig, EmbeddingsHaveTheirOwnGroupByName) {
  std::vector<ModuleStorage> modules;
  for (const std::string& name : context().block_linears)
    modules.push_back({name, "Linear", integers(8)});
  modules.push_back({"embed", "Embedding", integers(8)});
  const QuantizationConfig tied{{{{"Linear"}, {.bits = 8}}, {{"embed", "head"}, {.bits = 8}}}, {}};
  EXPECT_EQ(config_of(modules, context(true)).at("quantization_config"), tied.to_json());
  const QuantizationConfig alone{{{{"Linear"}, {.bits = 8}}, {{"embed"}, {.bits = 8}}}, {"head"}};
  EXPECT_EQ(quantization(config_of(modules, context(false))), alone);
  modules.push_back({"head", "Linear", integers(8)});
  EXPECT_EQ(config_of(modules, context(false)).at("quantization_config"), tied.to_json());
}

TEST(StorageConfig, SeveralSchemesAndOtherClassesAreTargetedByName) {
  StorageContext about = context();
  about.projections = {"project_in", "project_out"};
  const QuantizationConfig mixed = quantization(config_of({{"b.0.q", "Linear", integers(4)},
                                                           {"b.0.up", "Linear", integers(3)},
                                                           {"b.1.q", "Linear", integers(4)}},
                                                          about));
  const QuantizationConfig expected{{{{"b.0.q", "b.1.q"}, {.bits = 4}}, {{"b.0.up"}, {.bits = 3}}},
                                    {"b.1.up", "head", "project_in", "project_out"}};
  EXPECT_EQ(mixed, expected);
  const QuantizationConfig conv = quantization(config_of(
      {{"b.1.q", "Conv1D", integers(4)}, {"b.0.q", "Conv1D", integers(4)}}, context(true)));
  EXPECT_EQ(conv.groups.at(0).targets, (Names{"b.1.q", "b.0.q"}));
}

TEST(StorageConfig, SparseModulesGoUnderOurKey) {
  Json packed = sparse("bitmap");
  packed["quantization"] = scheme_json({.bits = 4});
  const Json config = config_of({{"b.0.q", "Linear", sparse("2:4")},
                                 {"b.0.up", "Linear", packed},
                                 {"b.1.q", "Linear", sparse("2:4")},
                                 {"embed", "Embedding", sparse("bitmap")}},
                                context(true));
  EXPECT_FALSE(config.contains("quantization_config"));
  const TerseConfig expected{{{{"b.0.q", "b.1.q"}, "2:4", sparse("2:4")},
                              {{"b.0.up"}, "bitmap", packed},
                              {{"embed", "head"}, "bitmap", sparse("bitmap")}}};
  EXPECT_EQ(TerseConfig::parse(config.at("terse_config")), expected);
  EXPECT_EQ(config.at("terse_config"), expected.to_json());
}

TEST(StorageConfig, QuantisedReadersIgnoreSparseModules) {
  const Json config = config_of({{"b.0.q", "Linear", integers(4)},
                                 {"b.0.up", "Linear", sparse("2:4")},
                                 {"embed", "Embedding", sparse("bitmap")}},
                                context());
  const QuantizationConfig expected{{{{"Linear"}, {.bits = 4}}},
                                    {"b.0.up", "b.1.q", "b.1.up", "head", "embed"}};
  EXPECT_EQ(quantization(config), expected);
  EXPECT_EQ(config.at("terse_config").at("groups").size(), 2U);
}

}  // namespace
}  // namespace terse
