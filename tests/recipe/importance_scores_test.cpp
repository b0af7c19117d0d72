// Recipes that read importance scores, from files made here: what is handed to methods, and what is
// refused.
#include "terse/recipe/importance_scores.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <limits>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/core/random.h"
#include "terse/recipe/compress.h"
#include "terse/recipe/identity.h"
#include "terse/recipe/plan.h"
#include "terse/recipe/recipe_check.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

constexpr const char* kModule = "model.layers.1.mlp.down_proj";

class RecipesWithImportance : public testing::Test {
 protected:
  RecipesWithImportance() {
    test::write_checkpoint(test::family_variant("llama"), directory_ / "model", "F32");
    write_scores([](const std::string&, Matrix&) { return true; });
  }

  Model model() const { return Model::open(directory_ / "model"); }
  fs::path scores() const { return directory_ / "scores.safetensors"; }

  // Random scores of every linear as `change` leaves them; where it returns false, none.
  void write_scores(const std::function<bool(const std::string& tensor, Matrix& scores)>& change,
                    SafetensorsMetadata metadata = {{kImportanceKey, kImportanceVersion}}) const {
    const Model opened = model();
    Random random(7);
    std::vector<NamedTensor> tensors;
    for (const LinearPlace& place : linear_places(opened)) {
      const Tensor weight = opened.checkpoint().tensor(place.module + ".weight");
      metadata[importance_digest_key(place.module)] = weight_digest(weight);
      for (const ImportanceScore score : kImportanceScores) {
        Matrix values(weight.shape()[0], weight.shape()[1]);
        for (std::int64_t i = 0; i < values.size(); ++i) {
          values.data()[i] = static_cast<float>(random.uniform());
        }
        const std::string name = importance_tensor(place.module, "weight", score);
        if (!change(name, values)) continue;
        tensors.push_back({name, Tensor::from_matrix(DType::f32, values)});
      }
    }
    SafetensorsWriter writer(scores(), metadata);
    for (const NamedTensor& named : tensors) writer.add(named.name, named.tensor);
    writer.commit();
  }

  Recipe recipe(const std::string& steps) const {
    return parse_recipe("importance: " + scores().string() + "\nsteps:\n" + steps, "test.yaml");
  }

  CompressionReport run(const Recipe& recipe) const {
    Progress silent;
    return compress(directory_ / "model", directory_ / "pruned", recipe, {.force = true}, silent);
  }

  void expect_refused(ErrorKind kind, const std::string& says,
                      const std::string& steps = "- method: taylor\n") const {
    expect_error(kind, says, [&] { run(recipe(steps)); });
    EXPECT_FALSE(fs::exists(directory_ / "pruned"));
    EXPECT_FALSE(fs::exists(directory_ / "pruned.part"));
  }

  test::TemporaryDirectory directory_;
};

TEST_F(RecipesWithImportance, WeightsOfLowestScoreBecomeZero) {
  run(recipe(
      "- {method: taylor, granularity: row, score: {default: taylor, down_proj: fisher}}\n"));
  Model before = Model::load(directory_ / "model");
  Model after = Model::load(directory_ / "pruned");
  const ImportanceScores handed(scores(), before.checkpoint());
  for (const LinearPlace& place : linear_places(before)) {
    const bool fisher = place.role == LinearRole::down_proj;
    const Matrix weight = before.block(place.block).linears.at(place.role).weight->dense();
    const Matrix pruned = after.block(place.block).linears.at(place.role).weight->dense();
    Matrix change =
        handed.read(place.module, fisher ? ImportanceScore::fisher : ImportanceScore::taylor);
    if (fisher) change = (change.array() * weight.array().square()).eval();
    for (std::int64_t r = 0; r < weight.rows(); ++r) {
      std::vector<float> sorted(change.row(r).begin(), change.row(r).end());
      std::ranges::sort(sorted);
      const float median = sorted[sorted.size() / 2];
      for (std::int64_t c = 0; c < weight.cols(); ++c) {
        EXPECT_EQ(pruned(r, c), change(r, c) < median ? 0.0F : weight(r, c)) << place.module;
      }
    }
  }
}

TEST_F(RecipesWithImportance, NeedNoCalibrationAndCanBePlanned) {
  EXPECT_FALSE(is_calibrated(recipe("- method: taylor\n")));
  EXPECT_TRUE(is_calibrated(recipe("- {method: taylor, allocation: owl}\n")));
  const Plan planned =
      plan(directory_ / "model", recipe("- method: taylor\n"), 0, directory_.path());
  EXPECT_EQ(planned.passes.at(0).at(0).need, "importance scores");
  EXPECT_GT(planned.memory.solving,
            plan(directory_ / "model", one_step_recipe("magnitude"), 0, directory_.path())
                .memory.solving);
}

// The scores are of the weights before the recipe: what other steps made of them matters not.
TEST_F(RecipesWithImportance, StandBesideOtherSteps) {
  const CompressionReport report =
      run(recipe("- {method: magnitude, sparsity: 0.25}\n"
                 "- {method: taylor, sparsity: 0.5, remeasure: true}\n"
                 "- {method: rtn, strategy: channel}\n"));
  for (const LinearReport& linear : report.linears) {
    if (linear.storage.is_null() || !linear.sparsity) continue;
    EXPECT_GE(*linear.sparsity, 0.24) << linear.module;
  }
}

TEST_F(RecipesWithImportance, AreRefusedWithoutScoresAndScoresWithoutAStep) {
  expect_error(ErrorKind::usage, "taylor needs importance scores: make them with `terse importance",
               [&] { run(one_step_recipe("taylor")); });
  expect_error(ErrorKind::usage, "no step reads scores",
               [&] { run(recipe("- method: magnitude\n")); });
  expect_error(ErrorKind::usage, "keep makes another one",
               [&] { run(recipe("- {method: keep, num_hidden_layers: 1}\n- method: taylor\n")); });
  expect_error(ErrorKind::bad_input, "test.yaml:1:13: expected a path",
               [&] { parse_recipe("importance: [a]\nsteps: [{method: taylor}]", "test.yaml"); });
}

TEST_F(RecipesWithImportance, ScoresOfAnotherModelAreRefused) {
  const std::string tensor = importance_tensor(kModule, "weight", ImportanceScore::taylor);
  write_scores([&](const std::string& name, Matrix&) { return name != tensor; });
  expect_refused(ErrorKind::bad_input, "has no " + tensor);
  run(recipe("- {method: taylor, score: fisher}\n"));
  fs::remove_all(directory_ / "pruned");
  write_scores([&](const std::string& name, Matrix& values) {
    if (name == tensor) values = Matrix(values.topRows(values.rows() - 1));
    return true;
  });
  expect_refused(ErrorKind::bad_input, tensor + " is F32 [");
  // The same shapes, another weight.
  write_scores([](const std::string&, Matrix&) { return true; });
  test::RandomCheckpoint other = test::family_variant("llama");
  other.weights.at(std::string(kModule) + ".weight").values[5] += 1;
  test::write_checkpoint(other, directory_ / "model", "F32");
  expect_refused(ErrorKind::bad_input, std::string(kModule) + " was scored with another weight");
}

TEST_F(RecipesWithImportance, DamagedScoresAreRefused) {
  const std::string tensor = importance_tensor(kModule, "weight", ImportanceScore::taylor);
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1.0F}) {
    write_scores([&](const std::string& name, Matrix& values) {
      if (name == tensor) values(2, 3) = value;
      return true;
    });
    expect_refused(ErrorKind::bad_input, tensor + " holds a score that is not finite or below 0");
  }
  const auto all = [](const std::string&, Matrix&) { return true; };
  write_scores(all, {});
  expect_refused(ErrorKind::bad_input, "holds no importance scores");
  write_scores(all, {{kImportanceKey, "2"}});
  expect_refused(ErrorKind::bad_input, "version '2' found where 1 is read");
  write_file(scores(), "no tensors");
  expect_refused(ErrorKind::bad_input, scores().string());
  fs::remove(scores());
  expect_refused(ErrorKind::bad_input, scores().string());
}

// w g does not change where a weight is scaled and its input divided; g does.
TEST_F(RecipesWithImportance, FisherScoresOfScaledWeightsAreRefused) {
  write_file(directory_ / "ids.json", Json(std::vector<int>(80, 5)).dump());
  const auto both = [&](const std::string& score) {
    Recipe steps = recipe(
        "- {method: smoothquant, targets: [q_proj, k_proj, v_proj]}\n"
        "- {method: taylor, score: " +
        score + "}\n");
    steps.calibration.token_file = directory_ / "ids.json";
    steps.calibration.window = 20;
    return steps;
  };
  expect_error(ErrorKind::usage, "an earlier step scales weights", [&] { run(both("fisher")); });
  Recipe later = both("fisher");
  later.steps.back().remeasure = true;
  expect_error(ErrorKind::usage, "an earlier step scales weights", [&] { run(later); });
  EXPECT_FALSE(run(both("taylor")).linears.empty());
}

TEST_F(RecipesWithImportance, AChangedFileIsAnotherRun) {
  const Json before = importance_identity(scores());
  EXPECT_EQ(importance_identity(scores()), before);
  write_scores([](const std::string&, Matrix& values) {
    values *= 0.5F;
    return true;
  });
  // Files written within one tick of the clock have the same time.
  fs::last_write_time(scores(), fs::last_write_time(scores()) + std::chrono::seconds(1));
  EXPECT_NE(importance_identity(scores()), before);
  EXPECT_TRUE(importance_identity({}).is_null());
}

}  // namespace
}  // namespace terse
