// Every ready-made recipe on the model of this repository: it runs, the result is smaller, loads,
// and predicts nearly as well.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "support/paths.h"
#include "support/temporary_directory.h"
#include "terse/eval/divergence.h"
#include "terse/formats/npy.h"
#include "terse/model/inventory.h"
#include "terse/recipe/compress.h"
#include "terse/recipe/ready_made.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const ReadyMadeRecipe& recipe : ready_made_recipes()) all.emplace_back(recipe.name);
  return all;
}

class ReadyMade : public testing::TestWithParam<std::string> {
 protected:
  static CompressionReport run(const std::string& name, const std::filesystem::path& output) {
    Recipe recipe = load_recipe(name);
    recipe.calibration.token_file =
        test::source_path("tests/oracle/docs-llama/calibration_ids.npy");
    recipe.calibration.samples = 24;
    Progress silent;
    return compress(test::source_path("models/docs-llama"), output, recipe, {}, silent);
  }

  static double divergence_of(const std::filesystem::path& output) {
    static const Model dense = Model::load(test::source_path("models/docs-llama"));
    Windows windows = cut_windows(
        read_token_ids(test::source_path("tests/oracle/docs-llama/test_ids.npy")).ids, 256);
    windows.windows.resize(16);
    Progress silent;
    return divergence(dense, Model::load(output), windows, silent).kl.mean;
  }

  test::TemporaryDirectory directory_;
};

TEST_P(ReadyMade, RunsOnTheEmbeddedModel) {
  const CompressionReport report = run(GetParam(), directory_ / "out");
  EXPECT_LT(report.bits_per_weight, 0.85 * report.bits_per_weight_before);
  EXPECT_NEAR(report.bits_per_weight,
              take_inventory(Model::open(directory_ / "out")).bits_per_weight(), 1e-9);
  // The worst of them, 2:4 at 4 bits, is at 0.09 with all calibration windows.
  const double kl = divergence_of(directory_ / "out");
  EXPECT_LT(kl, 0.15);
  RecordProperty("kl", std::to_string(kl));
  RecordProperty("bits_per_weight", std::to_string(report.bits_per_weight));
}

INSTANTIATE_TEST_SUITE_P(, ReadyMade, testing::ValuesIn(names()), [](const auto& test) {
  std::string name = test.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

// Three methods: what is pruned stays pruned under the codes, and both are stored.
TEST_F(ReadyMade, ZerosStayZeroThroughThreeMethods) {
  const CompressionReport report = run("smooth-sparse50-w4", directory_ / "out");
  ASSERT_FALSE(report.linears.empty());
  Model model = Model::open(directory_ / "out");
  std::int64_t pruned = 0;
  for (const LinearReport& linear : report.linears) {
    if (!linear.sparsity) continue;
    EXPECT_GE(*linear.sparsity, 0.4999) << linear.module;
    EXPECT_EQ(linear.kind, "4 bits group 128 bitmap") << linear.module;
    ++pruned;
  }
  EXPECT_EQ(pruned, 42);
  model.load_block(3);
  const Matrix down = model.block(3).linears.at(LinearRole::down_proj).weight->dense();
  EXPECT_GE((down.array() == 0.0F).count(), down.size() / 2);
}

}  // namespace
}  // namespace terse
