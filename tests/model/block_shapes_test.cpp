// Shapes that no family's config can say: what is written is read again, and what is wrong refused.
#include "terse/model/block_shapes.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "terse/formats/terse_config.h"

namespace terse {
namespace {

Json with_shape(Json config, const Json& shape) {
  TerseConfig ours;
  ours.shape = shape;
  config["terse_config"] = ours.to_json();
  return config;
}

Json config_of(const std::string& family) {
  return test::family_variant(family).config;
}

TEST(BlockShapes, AreReadAsTheyWereWritten) {
  Json config = config_of("opt");
  Architecture wanted = parse_architecture(config);
  wanted.norm = NormKind::rms;
  wanted.norm_eps = 2.5e-5;
  wanted.head_dim += 1;
  wanted.head_bias = true;
  wanted.shortcuts = true;
  wanted.sliding_window.back() = 7;
  wanted.block_shapes.assign(static_cast<std::size_t>(wanted.num_hidden_layers), wanted.shape(0));
  wanted.block_shapes.back().intermediate_size = 0;
  write_block_shapes(config, wanted);
  const Architecture read = parse_architecture(config);
  EXPECT_EQ(read.norm, NormKind::rms);
  EXPECT_EQ(read.norm_eps, 2.5e-5);
  EXPECT_EQ(read.head_dim, wanted.head_dim);
  EXPECT_TRUE(read.head_bias);
  EXPECT_TRUE(same_blocks(read, wanted));
  // What the family says is not said again.
  Json again = config;
  write_block_shapes(again, read);
  EXPECT_EQ(again, config);
  write_block_shapes(again, parse_architecture(config_of("opt")));
  EXPECT_FALSE(again.contains("terse_config"));
}

TEST(BlockShapes, RefuseWhatIsNone) {
  const auto refused = [](const Json& shape, const std::string& message) {
    test::expect_error(ErrorKind::bad_input, message,
                       [&] { parse_architecture(with_shape(config_of("opt"), shape)); });
  };
  refused({{"norm", "layer"}}, "key 'norm': 'layer'; expected rms");
  refused({{"norm", 1}}, "norm");
  refused({{"norm_eps", -1e-5}}, "key 'norm_eps' is -1e-05; expected 0 to 1");
  refused({{"norm_eps", "much"}}, "norm_eps");
  refused({{"head_dim", 0}}, "head_dim is 0");
  refused({{"head_dim", 1 << 20}}, "head_dim is 1048576; expected 0 to 16384");
  refused({{"head_bias", "yes"}}, "head_bias");
  refused({{"blocks", Json::array()}}, "key 'blocks': 0 blocks; the model has");
  refused({{"sliding_window", {1}}}, "key 'sliding_window': expected");
  refused({{"biases", {"gate_proj"}}}, "\"gate_proj\" is no linear of a opt model");
  test::expect_error(ErrorKind::bad_input, "a gpt_neox model has none", [&] {
    parse_architecture(with_shape(config_of("gpt_neox"), {{"shortcuts", true}}));
  });
}

}  // namespace
}  // namespace terse
