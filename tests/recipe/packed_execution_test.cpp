// Quantised models run packed: held against their dense expansions, on docs-llama.
#include <gtest/gtest.h>

#include <string>

#include "support/paths.h"
#include "support/temporary_directory.h"
#include "terse/core/threads.h"
#include "terse/eval/perplexity.h"
#include "terse/formats/npy.h"
#include "terse/kernels/instruction_set.h"
#include "terse/model/weights/dense.h"
#include "terse/recipe/compress.h"

namespace terse {
namespace {

struct Case {
  std::string name;
  std::map<std::string, std::string> options;
  std::string method = "rtn";
};

void PrintTo(const Case& example, std::ostream* out) {
  *out << example.name;
}

const Windows& windows() {
  static const Windows some = [] {
    Windows all = cut_windows(
        read_token_ids(test::source_path("tests/oracle/docs-llama/test_ids.npy")).ids, 256);
    keep_spread(all, 4);
    return all;
  }();
  return some;
}

class PackedExecution : public testing::TestWithParam<Case> {
 protected:
  ~PackedExecution() override { kernels::set_instruction_set(before_); }

  std::filesystem::path compressed() {
    Recipe recipe = one_step_recipe(GetParam().method, GetParam().options);
    recipe.calibration.token_file =
        test::source_path("tests/oracle/docs-llama/calibration_ids.npy");
    recipe.calibration.samples = 8;
    recipe.output.embeddings_bits = 8;
    compress(test::source_path("models/docs-llama"), directory_ / "packed", recipe, {}, silent_);
    return directory_ / "packed";
  }

  double score(const Model& model) { return perplexity(model, windows(), silent_).perplexity; }

 private:
  test::TemporaryDirectory directory_;
  Progress silent_;
  kernels::InstructionSet before_ = kernels::instruction_set();
};

// The linears of the blocks as float32 numbers.
Model expanded(const std::filesystem::path& directory) {
  Model model = Model::load(directory);
  for (std::int64_t i = 0; i < model.architecture().num_hidden_layers; ++i) {
    for (auto& [key, linear] : model.block(i).linears) {
      linear.weight = std::make_shared<DenseWeight>(linear.weight->dense(), DType::f32);
      linear.weight->prepare();
    }
  }
  return model;
}

TEST_P(PackedExecution, PredictsAsItsExpansionDoes) {
  const auto packed = compressed();
  for (const kernels::InstructionSet set : kernels::available_instruction_sets()) {
    SCOPED_TRACE(kernels::instruction_set_name(set));
    kernels::set_instruction_set(set);
    const double expected = score(expanded(packed));
    EXPECT_NEAR(score(Model::load(packed, ActivationType::f32)) / expected, 1.0, 1e-4);
    const double rounded = score(Model::load(packed, ActivationType::int8)) / expected;
    EXPECT_NEAR(rounded, 1.0, 5e-3);
    EXPECT_NE(rounded, 1.0) << "nothing was rounded";
  }
}

INSTANTIATE_TEST_SUITE_P(
    , PackedExecution,
    testing::Values(
        Case{"bits_2", {{"bits", "2"}, {"group_size", "32"}}},
        Case{"bits_3", {{"bits", "3"}, {"group_size", "32"}, {"symmetric", "true"}}},
        Case{"bits_4", {{"bits", "4"}, {"group_size", "32"}, {"symmetric", "true"}}},
        Case{"bits_4_group_128", {{"bits", "4"}, {"group_size", "128"}}},
        Case{"bits_4_channel", {{"bits", "4"}, {"strategy", "channel"}}},
        Case{"bits_5", {{"bits", "5"}, {"group_size", "64"}}},
        Case{"bits_6_tensor", {{"bits", "6"}, {"strategy", "tensor"}}},
        Case{"bits_7", {{"bits", "7"}, {"group_size", "16"}}},
        Case{"bits_8", {{"bits", "8"}, {"group_size", "32"}, {"symmetric", "true"}}},
        Case{"sparse_half",
             {{"sparsity", "0.5"},
              {"bits", "4"},
              {"strategy", "group"},
              {"group_size", "128"},
              {"symmetric", "true"}},
             "sparsegpt"},
        Case{"sparse_three_quarters",
             {{"sparsity", "0.75"}, {"bits", "4"}, {"strategy", "group"}, {"group_size", "64"}},
             "sparsegpt"},
        Case{"sparse_two_of_four",
             {{"structure", "2:4"}, {"bits", "4"}, {"strategy", "group"}, {"group_size", "32"}},
             "sparsegpt"},
        Case{
            "desc_act",
            {{"bits", "4"}, {"group_size", "64"}, {"desc_act", "true"}, {"static_groups", "false"}},
            "gptq"}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace terse
