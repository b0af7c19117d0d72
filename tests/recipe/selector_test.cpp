#include "terse/recipe/selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/random_checkpoint.h"
#include "support/temporary_directory.h"
#include "terse/core/error.h"

namespace terse {
namespace {

using test::expect_error;
using test::TemporaryDirectory;

LinearPlace place(std::int64_t block, LinearRole role, const std::string& part) {
  return {block, role, "model.layers." + std::to_string(block) + "." + part};
}

// Blocks of `blocks` of which the selector matches q_proj.
std::set<std::int64_t> matching_blocks(const std::string& text, std::int64_t blocks) {
  const Selector selector(text);
  std::set<std::int64_t> matching;
  for (std::int64_t block = 0; block < blocks; ++block) {
    if (selector.matches(place(block, LinearRole::q_proj, "self_attn.q_proj"), blocks)) {
      matching.insert(block);
    }
  }
  return matching;
}

TEST(Selector, TakesBlocksByNumber) {
  using Blocks = std::set<std::int64_t>;
  EXPECT_EQ(matching_blocks("block 3", 6), (Blocks{3}));
  EXPECT_EQ(matching_blocks("blocks 0-2", 6), (Blocks{0, 1, 2}));
  EXPECT_EQ(matching_blocks("blocks -2", 6), (Blocks{4}));
  EXPECT_EQ(matching_blocks("blocks -4--1", 6), (Blocks{2, 3, 4, 5}));
  EXPECT_EQ(matching_blocks("blocks 2--1", 6), (Blocks{2, 3, 4, 5}));
  EXPECT_EQ(matching_blocks("blocks -3-4", 6), (Blocks{3, 4}));
  EXPECT_EQ(matching_blocks("blocks 5-9", 6), (Blocks{5}));
  EXPECT_EQ(matching_blocks("block 6", 6), (Blocks{}));
  EXPECT_EQ(matching_blocks("blocks -9--6", 6), (Blocks{0}));
  EXPECT_EQ(matching_blocks("blocks 0-3 blocks 3-5", 6), (Blocks{3}));
  EXPECT_EQ(matching_blocks("blocks -9223372036854775808-9223372036854775807", 2), (Blocks{0, 1}));
}

TEST(Selector, AllWordsMustHold) {
  const Selector selector(" attention  blocks 0-1 proj$ ");
  EXPECT_TRUE(selector.matches(place(1, LinearRole::o_proj, "self_attn.o_proj"), 6));
  EXPECT_FALSE(selector.matches(place(2, LinearRole::o_proj, "self_attn.o_proj"), 6));
  EXPECT_FALSE(selector.matches(place(1, LinearRole::up_proj, "mlp.up_proj"), 6));
  EXPECT_FALSE(selector.matches(place(1, LinearRole::o_proj, "self_attn.dense"), 6));
  EXPECT_EQ(selector.text(), " attention  blocks 0-1 proj$ ");
}

TEST(Selector, OtherWordsAreRegularExpressionsOnNames) {
  const LinearPlace down = place(12, LinearRole::down_proj, "mlp.down_proj");
  EXPECT_TRUE(Selector("own").matches(down, 20));
  EXPECT_TRUE(Selector("layers\\.(1|12)\\.").matches(down, 20));
  EXPECT_TRUE(Selector("^model.*down_proj$").matches(down, 20));
  EXPECT_FALSE(Selector("layers\\.1\\.").matches(down, 20));
  EXPECT_FALSE(Selector("^layers").matches(down, 20));
  // A role is taken by role, not by name.
  EXPECT_TRUE(Selector("down_proj").matches(place(0, LinearRole::down_proj, "fc2"), 1));
  EXPECT_FALSE(Selector("down_proj").matches(place(0, LinearRole::up_proj, "down_proj"), 1));
}

TEST(Selector, RefusesWhatIsNone) {
  const auto refused = [](const std::string& text, const std::string& says) {
    expect_error(ErrorKind::usage, "selector '" + text + "': " + says, [&] { Selector{text}; });
  };
  refused("", "says nothing");
  refused("  ", "says nothing");
  for (const char* range : {"blocks", "block", "blocks x", "blocks 1,2", "blocks 5-2", "blocks 1-",
                            "blocks -", "blocks -1--2", "blocks 1-2-3", "blocks 1.5", "blocks +1",
                            "blocks 99999999999999999999", "mlp blocks"}) {
    refused(range, "expected blocks by number");
  }
  refused("(", "'(' is no role and not a regular expression");
  refused("mlp a)|(b", "'a)|(b' is no role and not a regular expression");
}

TEST(Selector, ARegularExpressionCannotTakeForever) {
  const std::string name(40, 'a');
  expect_error(ErrorKind::bad_input, "selector '(a+)+$'",
               [&] { Selector("(a+)+$").matches(place(0, LinearRole::q_proj, name + "c"), 1); });
}

// What families call the parts of a block.
struct Names {
  std::vector<std::string> attention;
  std::vector<std::string> mlp;
};

const std::map<std::string, Names> kFamilies{
    {"llama",
     {{"q_proj", "k_proj", "v_proj", "self_attn.o_proj"}, {"gate_proj", "up_proj", "down_proj"}}},
    {"mistral",
     {{"q_proj", "k_proj", "v_proj", "self_attn.o_proj"}, {"gate_proj", "up_proj", "down_proj"}}},
    {"qwen2",
     {{"q_proj", "k_proj", "v_proj", "self_attn.o_proj"}, {"gate_proj", "up_proj", "down_proj"}}},
    {"qwen3",
     {{"q_proj", "k_proj", "v_proj", "self_attn.o_proj"}, {"gate_proj", "up_proj", "down_proj"}}},
    {"opt", {{"q_proj", "k_proj", "v_proj", "out_proj"}, {"fc1", "fc2"}}},
    {"gpt2", {{"attn.c_attn", "attn.c_proj"}, {"mlp.c_fc", "mlp.c_proj"}}},
    {"gpt_neox",
     {{"query_key_value", "attention.dense"}, {"mlp.dense_h_to_4h", "mlp.dense_4h_to_h"}}},
};

// Selects in a model, and gives the names' ends.
class Selected {
 public:
  explicit Selected(const Model& model)
      : places_(linear_places(model)), blocks_(model.architecture().num_hidden_layers) {}

  std::vector<std::string> names(const std::string& selector) const {
    std::vector<std::string> found;
    for (const LinearPlace& place : places_) {
      if (Selector(selector).matches(place, blocks_)) found.push_back(place.module);
    }
    return found;
  }

  void expect(const std::string& selector, const std::vector<std::string>& ends) const {
    SCOPED_TRACE(selector);
    const std::vector<std::string> found = names(selector);
    ASSERT_EQ(found.size(), ends.size());
    for (std::size_t i = 0; i < ends.size(); ++i) EXPECT_THAT(found[i], testing::EndsWith(ends[i]));
  }

  const std::vector<LinearPlace>& places() const { return places_; }
  std::int64_t blocks() const { return blocks_; }

 private:
  std::vector<LinearPlace> places_;
  std::int64_t blocks_;
};

TEST(Selector, KnowsThePartsOfEveryFamily) {
  std::set<std::string> families;
  for (const auto& [name, checkpoint] : test::random_checkpoints()) {
    SCOPED_TRACE(name);
    const TemporaryDirectory directory;
    test::write_checkpoint(checkpoint, directory.path(), "F32");
    const Model model = Model::open(directory.path());
    const std::string& family = model.architecture().family;
    if (model.architecture().num_experts > 0) continue;
    families.insert(family);
    const Names& names = kFamilies.at(family);
    const Selected selected(model);
    const std::size_t linears = names.attention.size() + names.mlp.size();
    EXPECT_EQ(selected.places().size(), linears * static_cast<std::size_t>(selected.blocks()));

    // In the order of the forward pass, under the names of the checkpoint.
    selected.expect("attention block 0", names.attention);
    selected.expect("mlp blocks -1", names.mlp);
    for (const LinearPlace& place : selected.places()) {
      EXPECT_TRUE(model.checkpoint().contains(place.module + ".weight")) << place.module;
    }
    selected.expect("down_proj block 1", {names.mlp.back()});
    selected.expect("o_proj block 1", {names.attention.back()});
    const bool fused = family == "gpt2" || family == "gpt_neox";
    selected.expect("qkv_proj block 0",
                    fused ? std::vector{names.attention.front()} : std::vector<std::string>{});
    selected.expect("q_proj block 0",
                    fused ? std::vector<std::string>{} : std::vector{names.attention.front()});
    selected.expect("gate_proj block 0", names.mlp.size() == 3 ? std::vector{names.mlp.front()}
                                                               : std::vector<std::string>{});
    selected.expect("up_proj block 0", {names.mlp[names.mlp.size() - 2]});
    EXPECT_EQ(selected.names("attention").size() + selected.names("mlp").size(),
              selected.places().size());
  }
  EXPECT_EQ(families.size(), kFamilies.size());
}

// One expert after another reads its input, then one after another its hidden values.
TEST(Selector, KnowsExperts) {
  const TemporaryDirectory directory;
  test::write_checkpoint(test::family_variant("mixtral_one_of_three"), directory.path(), "F32");
  const Selected selected(Model::open(directory.path()));
  EXPECT_EQ(selected.places().size(), 2U * (4U + 3U * 3U));
  selected.expect("mlp block 1",
                  {"experts.0.w1", "experts.0.w3", "experts.1.w1", "experts.1.w3", "experts.2.w1",
                   "experts.2.w3", "experts.0.w2", "experts.1.w2", "experts.2.w2"});
  EXPECT_EQ(selected.names("experts"), selected.names("mlp"));
  selected.expect("down_proj block 0", {"experts.0.w2", "experts.1.w2", "experts.2.w2"});
  selected.expect("experts\\.1\\. blocks 0-1 gate_proj", {"experts.1.w1", "experts.1.w1"});
}

}  // namespace
}  // namespace terse
