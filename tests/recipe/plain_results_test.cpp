// Results of one shape are plain models of their family: every field of the config is the input's
// or one that says the new size, and the tensors are those that such a config asks for.
#include <gmock/gmock.h>

#include <functional>
#include <map>
#include <set>

#include "support/shape_recipes.h"

namespace terse::test {
namespace {

using Keys = std::set<std::string>;

// Keys that say a size, in the words of each family.
const Keys kBlocks{"num_hidden_layers", "n_layer", "layer_types", "mlp_only_layers",
                   "decoder_sparse_step"};
const Keys kChannels{"intermediate_size", "n_inner", "ffn_dim"};
const Keys kHeads{"num_attention_heads", "num_key_value_heads", "head_dim"};
const Keys kKeyValueHeads{"num_key_value_heads"};
const Keys kHidden{"hidden_size", "head_dim", "rms_norm_eps"};

class PlainResults : public ReshapingRecipes {
 protected:
  Json config(const std::string& name) const {
    return read_json(directory_ / name / "config.json");
  }

  void expect_fields(const std::string& name, const Keys& may_differ) const {
    const Json before = config("in");
    const Json after = config(name);
    for (const auto& [key, value] : after.items()) {
      if (may_differ.contains(key)) continue;
      ASSERT_TRUE(before.contains(key)) << key << " is new";
      EXPECT_EQ(value, before.at(key)) << key;
    }
    for (const auto& item : before.items()) EXPECT_TRUE(after.contains(item.key())) << item.key();
    EXPECT_NE(after, before);
  }

  // The reference's own rules make the tensors of the config.
  void expect_tensors(const std::string& name) const {
    write_checkpoint(random_checkpoint(name, config(name)), directory_ / ("rules of " + name),
                     "F32");
    EXPECT_EQ(shapes(name), shapes("rules of " + name));
  }

  std::map<std::string, Shape> shapes(const std::string& name) const {
    const Checkpoint checkpoint = Checkpoint::open(directory_ / name);
    std::map<std::string, Shape> found;
    for (const std::string& tensor : checkpoint.names()) found[tensor] = checkpoint.shape(tensor);
    return found;
  }

  // Skips sizes that the family's config cannot say.
  void expect_plain(const std::string& name, const std::string& steps, const Keys& may_differ,
                    bool always = false) const {
    SCOPED_TRACE(steps);
    run("in", name, steps);
    if (!always && has_key(config(name), "terse_config")) return;
    expect_fields(name, may_differ);
    expect_tensors(name);
  }

  Architecture a() const { return Model::open(directory_ / "in").architecture(); }
};

class PlainResultsOfBlocks : public PlainResults {};

TEST_P(PlainResultsOfBlocks, AreSmaller) {
  expect_plain("out", "- {method: shortgpt, num_hidden_layers: 1}\n", kBlocks, true);
}

TEST_P(PlainResults, OfFewerChannels) {
  const std::string steps =
      fmt::format("- {{method: wanda_sp, intermediate_size: {}}}\n", a().intermediate_size / 2);
  expect_plain("out", steps, kChannels, true);
}

TEST_P(PlainResults, OfSeveralSteps) {
  Keys keys = kBlocks;
  keys.insert(kChannels.begin(), kChannels.end());
  const std::int64_t channels = a().intermediate_size / 2;
  expect_plain("out",
               fmt::format("- {{method: keep, num_hidden_layers: 2}}\n"
                           "- {{method: magnitude_sp, intermediate_size: {}}}\n",
                           channels),
               keys, !config("in").contains("scale_attn_by_inverse_layer_idx"));
}

class PlainResultsOfHeads : public PlainResults {};

TEST_P(PlainResultsOfHeads, AreFewer) {
  expect_plain("out",
               fmt::format("- {{method: magnitude_sp, num_attention_heads: {}}}\n",
                           a().num_attention_heads / 2),
               kHeads, true);
}

TEST_P(PlainResultsOfHeads, ShareKeysAndValues) {
  expect_plain("out", "- {method: gqa, num_key_value_heads: 1}\n", kKeyValueHeads, true);
}

class PlainResultsOfTheStream : public PlainResults {};

TEST_P(PlainResultsOfTheStream, AreNarrower) {
  expect_plain("out",
               fmt::format("- {{method: hidden_sp, multiple: 1, hidden_size: {}}}\n",
                           a().hidden_size * 3 / 4),
               kHidden, true);
}

INSTANTIATE_TEST_SUITE_P(Families, PlainResults, testing::ValuesIn(dense_family_variants()),
                         [](const auto& tested) { return tested.param.name; });

std::vector<FamilyVariant> variants_where(
    const std::function<bool(const Architecture& architecture)>& wanted) {
  std::vector<FamilyVariant> variants = dense_family_variants();
  std::erase_if(variants, [&](const FamilyVariant& variant) {
    return !wanted(parse_architecture(variant.config));
  });
  return variants;
}

INSTANTIATE_TEST_SUITE_P(Families, PlainResultsOfHeads,
                         testing::ValuesIn(variants_where([](const Architecture& a) {
                           return a.num_key_value_heads > 1 && a.norm == NormKind::rms;
                         })),
                         [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(Families, PlainResultsOfTheStream,
                         testing::ValuesIn(variants_where([](const Architecture& a) {
                           return a.norm == NormKind::rms;
                         })),
                         [](const auto& tested) { return tested.param.name; });

// With experts blocks are all that can go.
INSTANTIATE_TEST_SUITE_P(Families, PlainResultsOfBlocks, testing::ValuesIn(family_variants()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace terse::test
