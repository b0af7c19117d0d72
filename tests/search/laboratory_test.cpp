// What trials measure, beside models that are really made on disk and evaluated.
#include "terse/search/laboratory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <span>

#include "search/small_model.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/eval/divergence.h"
#include "terse/model/inventory.h"
#include "terse/recipe/compress.h"
#include "terse/search/draft.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using testing::DoubleNear;
using testing::Pointwise;

Choice choice(const std::string& method, const std::map<std::string, std::string>& options) {
  return {method, {step_of(method, options)}};
}

class Trials : public testing::TestWithParam<bool> {
 protected:
  Trials() {
    write_small_model(directory_ / "m", GetParam());
    tokens_.windows = some_windows(12, 32, 1);
    tokens_.window = 32;
    write_file(directory_ / "ids.json", Json(tokens_.windows).dump());
    std::vector<std::int32_t> ids;
    for (const auto& window : some_windows(5, 32, 2)) {
      ids.insert(ids.end(), window.begin(), window.end());
    }
    windows_ = cut_windows(std::move(ids), 32);
    fs::create_directory(directory_ / "work");
    laboratory_ = std::make_unique<Laboratory>(Checkpoint::open(directory_ / "m"), windows_,
                                               tokens_, directory_ / "work");
    units_ = units_of(laboratory_->model(), 3);
  }

  const Unit& unit(const std::string& name) const {
    return *std::ranges::find(units_, name, &Unit::name);
  }

  Effect effect_of(const Trial& trial) {
    Effect found;
    laboratory_->measure(std::span(&trial, 1), [&](std::size_t, const Effect& effect) {
      found = effect;
      return true;
    });
    return found;
  }

  // The recipe's model, made by `compress`.
  struct Made {
    std::vector<double> window_kl;
    Sizes sizes;
  };

  Made made(Recipe recipe) const {
    recipe.calibration.token_file = directory_ / "ids.json";
    Progress silent;
    const auto report = compress(directory_ / "m", directory_ / "out", recipe,
                                 {.force = true, .restart = true}, silent);
    const Model model = Model::load(directory_ / "out");
    return {divergence(laboratory_->model(), model, windows_, silent).window_kl,
            {report.bytes_after, held_bytes(model)}};
  }

  std::uint64_t dense_bytes() const { return take_inventory(laboratory_->model()).bytes; }

  TemporaryDirectory directory_;
  CalibrationTokens tokens_;
  Windows windows_;
  std::unique_ptr<Laboratory> laboratory_;
  std::vector<Unit> units_;
};

// One linear at a time, by methods of every category: bytes and divergence are those of the model
// in which it alone is compressed.
TEST_P(Trials, AreWhatTheModelOfOneChangedLinearIs) {
  const std::vector<Choice> choices = {
      choice("gptq", {{"bits", "3"}, {"group_size", "32"}, {"clip", "mse"}}),
      choice("gptq", {{"bits", "2"}, {"group_size", "32"}, {"desc_act", "true"}}),
      choice("sparsegpt", {{"sparsity", "0.5"}}), choice("svd_llm", {{"rank", "8"}}),
      choice("rtn", {{"bits", "4"}, {"group_size", "64"}})};
  const std::vector<double> first = effect_of({&unit("q_proj block 0"), &choices[0]}).window_kl;
  std::size_t number = 0;
  for (const char* name : {"q_proj block 0", "down_proj block 1", "o_proj block 2",
                           "up_proj block 2", "v_proj block 1"}) {
    const Choice& each = choices[number++];
    const Effect effect = effect_of({&unit(name), &each});
    Recipe recipe;
    recipe.steps = each.steps;
    recipe.steps.front().targets = {name};
    const Made alone = made(recipe);
    EXPECT_EQ(dense_bytes() - laboratory_->dense_sizes(unit(name)).stored + effect.sizes.stored,
              alone.sizes.stored)
        << name;
    EXPECT_EQ(held_bytes(laboratory_->model()) - laboratory_->dense_sizes(unit(name)).held +
                  effect.sizes.held,
              alone.sizes.held)
        << name;
    EXPECT_THAT(effect.window_kl, Pointwise(DoubleNear(1e-6), alone.window_kl)) << name;
    EXPECT_THAT(effect.window_kl, testing::Each(testing::Gt(0.0))) << name;
  }
  // Every linear was put back.
  EXPECT_EQ(effect_of({&unit("q_proj block 0"), &choices[0]}).window_kl, first);
  EXPECT_THAT(laboratory_->window_positions(), testing::Each(31.0));
}

TEST_P(Trials, EmbeddingsAreWhatTheirModelIs) {
  const Choice four{"", {step_of("rtn", {{"clip", "minmax"}})}, 4};
  const Effect effect = effect_of({&unit("embeddings"), &four});
  // A recipe must have a step: one that changes nothing.
  Recipe recipe;
  recipe.steps = {step_of("magnitude", {{"sparsity", "0"}})};
  const Made before = made(recipe);
  recipe.output.embeddings_bits = 4;
  const Made after = made(recipe);
  EXPECT_THAT(before.window_kl, testing::Each(0.0));
  EXPECT_THAT(effect.window_kl, Pointwise(DoubleNear(1e-6), after.window_kl));
  const Sizes dense = laboratory_->dense_sizes(unit("embeddings"));
  EXPECT_EQ(before.sizes.stored - dense.stored + effect.sizes.stored, after.sizes.stored);
  EXPECT_EQ(before.sizes.held - dense.held + effect.sizes.held, after.sizes.held);
}

TEST_P(Trials, ABlockMadeAnewIsThatOfTheRecipe) {
  const std::vector<RecipeStep> steps = {step_of("gptq", {{"bits", "2"}, {"group_size", "32"}})};
  const std::vector<double> found = laboratory_->kl_of_block(steps, 1);
  Recipe recipe;
  recipe.steps = steps;
  recipe.steps.front().targets = {"block 1"};
  EXPECT_THAT(found, Pointwise(DoubleNear(1e-6), made(recipe).window_kl));
  EXPECT_EQ(laboratory_->kl_of_block(steps, 1), found);
}

TEST_P(Trials, ABlockLessIsTheModelThatKeepsTheOthers) {
  Recipe recipe;
  recipe.steps = {step_of("keep", {{"blocks", "0,2"}})};
  EXPECT_THAT(laboratory_->kl_without(1), Pointwise(DoubleNear(1e-6), made(recipe).window_kl));
}

TEST_P(Trials, WhatDoesNotFitIsFoundByTheMethod) {
  EXPECT_TRUE(
      laboratory_->fits(unit("down_proj block 0"), choice("gptq", {{"group_size", "128"}})));
  EXPECT_FALSE(laboratory_->fits(unit("q_proj block 0"), choice("gptq", {{"group_size", "128"}})));
  EXPECT_TRUE(laboratory_->fits(unit("q_proj block 0"), {"dense", {}}));
}

// Many trials in one walk, in any order, are those of walks of their own; telling ends them.
TEST_P(Trials, OneWalkServesAll) {
  const Choice three = choice("gptq", {{"bits", "3"}, {"group_size", "32"}});
  const Choice four{"", {step_of("rtn", {})}, 4};
  std::vector<Trial> trials;
  for (const char* name : {"down_proj block 2", "q_proj block 0", "embeddings", "k_proj block 1",
                           "down_proj block 0"}) {
    trials.push_back({&unit(name), unit(name).is_embeddings() ? &four : &three});
  }
  std::map<std::size_t, Effect> together;
  laboratory_->measure(trials, [&](std::size_t trial, const Effect& effect) {
    together[trial] = effect;
    return true;
  });
  ASSERT_EQ(together.size(), trials.size());
  for (std::size_t i = 0; i < trials.size(); ++i) {
    EXPECT_EQ(together.at(i).window_kl, effect_of(trials[i]).window_kl) << i;
  }
  int told = 0;
  laboratory_->measure(trials, [&](std::size_t, const Effect&) { return ++told < 2; });
  EXPECT_EQ(told, 2);
}

// One linear stands for those of its unit.
TEST_P(Trials, UnitsOfSeveralLinears) {
  const std::vector<Unit> whole = units_of(laboratory_->model(), 1);
  const Choice three = choice("gptq", {{"bits", "3"}, {"group_size", "32"}});
  const Effect one = effect_of({&unit("up_proj block 1"), &three});
  const Effect all = effect_of(
      {&*std::ranges::find(whole, std::string("up_proj blocks 0-2"), &Unit::name), &three});
  EXPECT_EQ(all.window_kl, one.window_kl);
  EXPECT_EQ(all.sizes.stored, 3 * one.sizes.stored);
  EXPECT_EQ(all.sizes.held, 3 * one.sizes.held);
}

INSTANTIATE_TEST_SUITE_P(Embeddings, Trials, testing::Bool(),
                         [](const auto& test) { return test.param ? "tied" : "untied"; });

}  // namespace
}  // namespace terse::test
