// What tests of recipes that reshape the variants of the families have in common.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "support/family_variants.h"
#include "support/logits.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/model/inventory.h"
#include "terse/recipe/compress.h"
#include "terse/recipe/recipe_text.h"

namespace terse::test {

// Models are folders of `directory_`; "in" is the variant in float32.
class ReshapingRecipes : public testing::TestWithParam<FamilyVariant> {
 protected:
  void SetUp() override {
    write_checkpoint(checkpoint(), directory_ / "in", "F32");
    // Every token, so that no direction of the embeddings is without moments.
    for (int i = 0; i < 400; ++i) ids_.push_back((29 * i + i / 67) % 67);
    write_file(directory_ / "ids.json", Json(ids_).dump());
  }

  virtual RandomCheckpoint checkpoint() const { return GetParam().checkpoint(); }

  Recipe recipe(const std::string& steps, const std::string& output = "") const {
    const std::string calibration = fmt::format("calibration: {{tokens: {}, window: {}}}\n",
                                                (directory_ / "ids.json").string(), kWindow);
    return parse_recipe(fmt::format("{}steps:\n{}{}", calibration, steps, output), "test.yaml");
  }

  void run(const std::string& in, const std::string& out, const std::string& steps,
           const std::string& output = "") const {
    Progress silent;
    compress(directory_ / in, directory_ / out, recipe(steps, output), {.force = true}, silent);
  }

  Model model(const std::string& name) const { return Model::load(directory_ / name); }

  Matrix logits(const std::string& name) const {
    return logits_of(model(name), {some_tokens(16, 67)});
  }

  // The largest difference, of the largest logit.
  float difference(const std::string& found, const std::string& expected) const {
    const Matrix before = logits(expected);
    return (logits(found) - before).cwiseAbs().maxCoeff() / before.cwiseAbs().maxCoeff();
  }

  // The squared difference of all logits on the calibration text.
  float calibration_error(const std::string& found, const std::string& expected) const {
    std::vector<std::vector<std::int32_t>> windows;
    for (std::size_t i = 0; i + kWindow <= ids_.size(); i += kWindow) {
      const auto first = ids_.begin() + static_cast<std::ptrdiff_t>(i);
      windows.emplace_back(first, first + kWindow);
    }
    return (logits_of(model(found), windows) - logits_of(model(expected), windows)).squaredNorm();
  }

  std::int64_t parameters(const std::string& name) const {
    return take_inventory(Model::open(directory_ / name)).parameters;
  }

  static constexpr std::size_t kWindow = 12;

  TemporaryDirectory directory_;
  std::vector<std::int32_t> ids_;
};

}  // namespace terse::test
