#include "terse/formats/terse_config.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace terse {
namespace {

using test::expect_error;

Json example() {
  return parse_json(R"({"version": 1, "groups": [
    {"targets": ["a.q_proj", "a.k_proj"], "layout": "2:4"},
    {"targets": ["a.up_proj"], "layout": "spiral", "turns": [1, 2]}]})");
}

TEST(TerseConfig, ReadsGroupsOfAnyLayoutAndFindsModules) {
  const TerseConfig config = TerseConfig::parse(example());
  ASSERT_NE(config.group_for("a.k_proj"), nullptr);
  EXPECT_EQ(config.group_for("a.k_proj")->layout, "2:4");
  ASSERT_NE(config.group_for("a.up_proj"), nullptr);
  EXPECT_EQ(config.group_for("a.up_proj")->storage.dump(), R"({"layout":"spiral","turns":[1,2]})");
  EXPECT_EQ(config.group_for("a.up"), nullptr);
  EXPECT_EQ(TerseConfig::parse(parse_json(config.to_json().dump())), config);
  EXPECT_EQ(TerseConfig::of({{"terse_config", example()}}), config);
  EXPECT_EQ(TerseConfig::of({{"model_type", "llama"}}), TerseConfig());
}

TEST(TerseConfig, RefusesWhatItCannotRead) {
  const auto refused = [](const std::string& says, const auto& spoil) {
    Json config = example();
    spoil(config);
    expect_error(ErrorKind::bad_input, says, [&] { TerseConfig::parse(config); });
  };
  refused("terse_config: key 'version': 2 is not 1", [](Json& c) { c["version"] = 2; });
  refused("key 'version' is missing", [](Json& c) { c.erase("version"); });
  refused("key 'groups' is missing", [](Json& c) { c.erase("groups"); });
  refused("key 'layout' is missing", [](Json& c) { c["groups"][0].erase("layout"); });
  refused("expected an object with targets", [](Json& c) { c["groups"][0] = 1; });
  refused("expected strings, found number", [](Json& c) { c["groups"][0]["targets"] = {1}; });
  refused("target 'a.q_proj' is given twice",
          [](Json& c) { c["groups"][1]["targets"] = {"a.q_proj"}; });
}

}  // namespace
}  // namespace terse
