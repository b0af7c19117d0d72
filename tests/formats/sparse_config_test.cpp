#include "terse/formats/sparse_config.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace terse {
namespace {

using test::expect_error;

Json example() {
  return parse_json(R"({"version": 1, "groups": [
    {"targets": ["a.q_proj", "a.k_proj"], "layout": "2:4"},
    {"targets": ["a.up_proj"], "layout": "bitmap",
     "quantization": {"weights": {"num_bits": 4, "group_size": 128, "symmetric": false}}}]})");
}

TEST(SparseConfig, ReadsGroupsAndFindsModules) {
  const SparseConfig config = SparseConfig::parse(example());
  ASSERT_NE(config.group_for("a.k_proj"), nullptr);
  EXPECT_EQ(config.group_for("a.k_proj")->layout, SparseLayout::two_four);
  EXPECT_EQ(config.group_for("a.k_proj")->scheme, std::nullopt);
  ASSERT_NE(config.group_for("a.up_proj"), nullptr);
  EXPECT_EQ(config.group_for("a.up_proj")->layout, SparseLayout::bitmap);
  EXPECT_EQ(config.group_for("a.up_proj")->scheme, (QuantizationScheme{.bits = 4}));
  EXPECT_EQ(config.group_for("a.up"), nullptr);
  EXPECT_EQ(SparseConfig::parse(parse_json(config.to_json().dump())), config);
}

TEST(SparseConfig, RefusesWhatItCannotRead) {
  const auto refused = [](const std::string& says, const auto& spoil) {
    Json config = example();
    spoil(config);
    expect_error(ErrorKind::bad_input, says, [&] { SparseConfig::parse(config); });
  };
  refused("terse_config: key 'version': 2 is not 1", [](Json& c) { c["version"] = 2; });
  refused("key 'version' is missing", [](Json& c) { c.erase("version"); });
  refused("key 'groups' is missing", [](Json& c) { c.erase("groups"); });
  refused("key 'layout': '1:4' is not supported",
          [](Json& c) { c["groups"][0]["layout"] = "1:4"; });
  refused("expected an object with targets", [](Json& c) { c["groups"][0] = 1; });
  refused("expected strings, found number", [](Json& c) { c["groups"][0]["targets"] = {1}; });
  refused("target 'a.q_proj' is given twice",
          [](Json& c) { c["groups"][1]["targets"] = {"a.q_proj"}; });
  refused("quantization: weights: key 'num_bits': 9 is not 2 to 8",
          [](Json& c) { c["groups"][1]["quantization"]["weights"]["num_bits"] = 9; });
}

}  // namespace
}  // namespace terse
