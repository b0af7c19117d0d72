// Shapes that a model may be given first, beside models that are really made.
#include "terse/search/shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "search/small_model.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/model/inventory.h"
#include "terse/recipe/compress.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

class Shapes : public testing::Test {
 protected:
  Shapes() {
    write_small_model(directory_ / "m");
    tokens_.windows = some_windows(12, 32, 1);
    tokens_.window = 32;
    write_file(directory_ / "ids.json", Json(tokens_.windows).dump());
    std::vector<std::int32_t> ids;
    for (const auto& window : some_windows(3, 32, 2)) {
      ids.insert(ids.end(), window.begin(), window.end());
    }
    fs::create_directory(directory_ / "work");
    laboratory_ =
        std::make_unique<Laboratory>(Checkpoint::open(directory_ / "m"),
                                     cut_windows(std::move(ids), 32), tokens_, directory_ / "work");
  }

  // All linears at 4 bits in groups of 64, or of 16, and what that loses: its number, in parts of
  // the model.
  ShapedChoices shaped(const Choice& shape, std::int64_t parts) {
    as_it_is_ = {"estimate", {}, {units_of(laboratory_->model(), parts), {}}, {}};
    for (const Unit& unit : as_it_is_.table.units) {
      auto& choices = as_it_is_.table.choices.emplace_back();
      auto& options = as_it_is_.sensitivities.emplace_back();
      choices.push_back({"dense", {}});
      options[0] = {laboratory_->dense_sizes(unit).stored, 0.0};
      if (unit.is_embeddings()) continue;
      for (const char* group : {"64", "16"}) {
        options[choices.size()] = {laboratory_->dense_sizes(unit).stored / 4, 1.0};
        choices.push_back({std::string("rtn ") + group,
                           {step_of("rtn", {{"bits", "4"}, {"group_size", group}})}});
      }
    }
    const auto outline = outline_of(laboratory_->model().checkpoint(), shape);
    EXPECT_TRUE(outline.has_value());
    as_it_is_.sensitivities.push_back({{0, {0, 0.0}}});
    return in_shape(*laboratory_, shape, *outline, 0.25, as_it_is_, Resource::size);
  }

  std::uint64_t bytes_of(const Recipe& recipe) const {
    Recipe calibrated = recipe;
    calibrated.calibration.token_file = directory_ / "ids.json";
    Progress silent;
    return compress(directory_ / "m", directory_ / "out", calibrated,
                    {.force = true, .restart = true}, silent)
        .bytes_after;
  }

  TemporaryDirectory directory_;
  CalibrationTokens tokens_;
  std::unique_ptr<Laboratory> laboratory_;
  ShapedChoices as_it_is_;
};

const Choice kNarrow{"narrow", {step_of("wanda_sp", {{"intermediate_size", "96"}})}};
const Choice kShallow{"shallow", {step_of("keep", {{"blocks", "0,2"}})}};

// Everything dense: the bytes that are expected are those of the model that the recipe makes.
TEST_F(Shapes, BytesAreThoseOfTheModelThatIsMade) {
  for (const Choice& shape : {kNarrow, kShallow}) {
    const ShapedChoices found = shaped(shape, 3);
    const auto all = least_loss(found.sensitivities, 1U << 30);
    ASSERT_TRUE(all.has_value());
    EXPECT_DOUBLE_EQ(all->loss, 0.25);
    const Recipe recipe = found.recipe(all->options, {});
    EXPECT_EQ(recipe.steps, shape.steps);
    EXPECT_EQ(all->bytes, bytes_of(recipe)) << shape.name;
  }
}

TEST_F(Shapes, UnitsAreWhereTheirBlocksAreThen) {
  const ShapedChoices found = shaped(kShallow, 3);
  std::vector<std::string> q;
  for (const Unit& unit : found.table.units) {
    if (!unit.is_embeddings() && unit.places.front().role == LinearRole::q_proj) {
      q.push_back(unit.places.front().module);
    }
  }
  EXPECT_THAT(q, ElementsAre("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"));
  EXPECT_EQ(found.table.units.size(), 2 * 7 + 1U);
  // The last block, 1 by now, at 4 bits: the recipe says so.
  std::vector<std::size_t> options;
  for (const Unit& unit : found.table.units) {
    options.push_back(!unit.is_embeddings() && unit.places.front().block == 1 ? 1 : 0);
  }
  const Recipe recipe = found.recipe(options, {});
  ASSERT_EQ(recipe.steps.size(), 2U);
  EXPECT_EQ(recipe.steps[0], kShallow.steps[0]);
  EXPECT_EQ(recipe.steps[1].method, "rtn");
  EXPECT_THAT(recipe.steps[1].targets, testing::Contains("q_proj block 1"));
  bytes_of(recipe);
  const Model made = Model::open(directory_ / "out");
  EXPECT_EQ(made.stored_kind("model.layers.1.self_attn.q_proj", "Linear"), "4 bits group 64");
  EXPECT_EQ(made.stored_kind("model.layers.0.self_attn.q_proj", "Linear"), "bfloat16");
}

// Of units of several linears as much is lost as is left.
TEST_F(Shapes, LossesAndBytesGoWithTheLinears) {
  const ShapedChoices shallow = shaped(kShallow, 1);
  EXPECT_NEAR(shallow.sensitivities[0].at(1).loss, 2.0 / 3, 1e-12);
  EXPECT_EQ(shallow.sensitivities[0].at(1).weight, as_it_is_.sensitivities[0].at(1).weight * 2 / 3);
  const ShapedChoices narrow = shaped(kNarrow, 3);
  for (std::size_t i = 0; i < narrow.table.units.size(); ++i) {
    const Unit& unit = narrow.table.units[i];
    if (unit.is_embeddings()) continue;
    const bool is_mlp = stage_of(unit.places.front().role) == Stage::mlp_input ||
                        stage_of(unit.places.front().role) == Stage::mlp_output;
    EXPECT_EQ(narrow.sensitivities[i].at(2).weight,
              is_mlp ? as_it_is_.sensitivities[i].at(2).weight * 3 / 4
                     : as_it_is_.sensitivities[i].at(2).weight);
    EXPECT_DOUBLE_EQ(narrow.sensitivities[i].at(2).loss, 1.0);
    // 96 channels make no groups of 64.
    EXPECT_EQ(narrow.sensitivities[i].contains(1),
              unit.places.front().role != LinearRole::down_proj);
  }
}

TEST_F(Shapes, WhatAMethodRefusesIsNoShape) {
  const Checkpoint& checkpoint = laboratory_->model().checkpoint();
  EXPECT_FALSE(outline_of(checkpoint, {"", {step_of("keep", {{"blocks", "0,7"}})}}).has_value());
  EXPECT_FALSE(
      outline_of(checkpoint, {"", {step_of("wanda_sp", {{"ratio", "0.99"}})}}).has_value());
  EXPECT_TRUE(outline_of(checkpoint, kNarrow).has_value());
}

TEST_F(Shapes, KindsSayWhichThereAre) {
  const ShapeQuestions questions{laboratory_->model().architecture(),
                                 [](std::int64_t block) { return static_cast<double>(block); }};
  EXPECT_TRUE(shapes_of({}, questions).empty());
  EXPECT_EQ(shapes_of({"depth"}, questions).size(), 1U);
  EXPECT_EQ(shapes_of({"depth", "width"}, questions).size(), 7U);
}

}  // namespace
}  // namespace terse::test
