// Conversion to fewer key-value heads, for every family: heads that are the same become one, also
// where they are turned.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <Eigen/QR>
#include <cmath>

#include "support/edited_checkpoint.h"
#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/shape_recipes.h"
#include "terse/core/random.h"
#include "terse/methods/convert/head_alignment.h"

namespace terse {
namespace {

Matrix random_rotation(std::int64_t size, Random& random) {
  Eigen::MatrixXf square(size, size);
  for (float& value : square.reshaped()) value = static_cast<float>(random.normal());
  return Eigen::HouseholderQR<Eigen::MatrixXf>(square).householderQ() *
         Eigen::MatrixXf::Identity(size, size);
}

Matrix random_turn(const Architecture& a, Random& random) {
  if (!a.rotary) return random_rotation(a.head_dim, random);
  const std::int64_t half = a.rope.dimensions / 2;
  Matrix turn = Matrix::Identity(a.head_dim, a.head_dim);
  for (std::int64_t i = 0; i < half; ++i) {
    const auto angle = static_cast<float>(6.0 * random.uniform());
    turn(i, i) = turn(i + half, i + half) = std::cos(angle);
    turn(i, i + half) = -std::sin(angle);
    turn(i + half, i) = std::sin(angle);
  }
  return turn;
}

class GqaRecipes : public test::ReshapingRecipes {
 protected:
  void convert(const std::string& in, const std::string& alignment, std::int64_t heads,
               const std::string& compensation = "least_squares") const {
    run(in, "out",
        fmt::format("- {{method: gqa, num_key_value_heads: {}, alignment: {}, compensation: {}}}\n",
                    heads, alignment, compensation));
  }

  float change(const std::string& expected) const { return difference("out", expected); }

  static void for_rows(const Architecture& a, Block& block, const HeadPlaces& place,
                       const std::function<void(Matrix&)>& edit) {
    Linear& linear = block.linears.at(place.linear);
    test::edit_weight(a, linear, [&](Matrix& weight) {
      Matrix rows(a.head_dim, weight.cols() + 1);
      rows.leftCols(weight.cols()) = weight.middleRows(place.first, a.head_dim);
      rows.rightCols(1).setZero();
      if (linear.bias.size() > 0) {
        rows.rightCols(1) = linear.bias.segment(place.first, a.head_dim);
      }
      edit(rows);
      weight.middleRows(place.first, a.head_dim) = rows.leftCols(weight.cols());
      if (linear.bias.size() > 0) {
        linear.bias.segment(place.first, a.head_dim) = rows.rightCols(1);
      }
    });
  }

  // All key-value heads are the first.
  static void make_same(const Architecture& a, Block& block) {
    for (const auto place : {&key_place, &value_place}) {
      Matrix first;
      for_rows(a, block, place(a, 0, 0), [&](Matrix& rows) { first = rows; });
      for (std::int64_t head = 1; head < a.num_key_value_heads; ++head) {
        for_rows(a, block, place(a, 0, head), [&](Matrix& rows) { rows = first; });
      }
    }
  }

  // Attention puts out the same.
  static void turn(const Architecture& a, Block& block, Random& random) {
    const std::int64_t queries = a.num_attention_heads / a.num_key_value_heads;
    for (std::int64_t head = 0; head < a.num_key_value_heads; ++head) {
      const Matrix of_values = random_rotation(a.head_dim, random);
      const Matrix of_keys = random_turn(a, random);
      for_rows(a, block, value_place(a, 0, head),
               [&](Matrix& rows) { rows = (of_values * rows).eval(); });
      if (!a.qk_norm) {
        for_rows(a, block, key_place(a, 0, head),
                 [&](Matrix& rows) { rows = (of_keys * rows).eval(); });
      }
      for (std::int64_t q = head * queries; q < (head + 1) * queries; ++q) {
        test::edit_weight(a, block.linears.at(LinearRole::o_proj), [&](Matrix& weight) {
          auto columns = weight.middleCols(q * a.head_dim, a.head_dim);
          columns = (columns * of_values.transpose()).eval();
        });
        if (a.qk_norm) continue;
        for_rows(a, block, query_place(a, 0, q),
                 [&](Matrix& rows) { rows = (of_keys * rows).eval(); });
      }
    }
  }
};

TEST_P(GqaRecipes, HeadsThatAreTheSameBecomeOne) {
  test::edit_checkpoint(directory_ / "in", directory_ / "same", &GqaRecipes::make_same);
  for (const char* alignment : {"none", "rotation"}) {
    convert("same", alignment, 1);
    EXPECT_LT(change("same"), 1e-4F) << alignment;
    EXPECT_EQ(Model::open(directory_ / "out").architecture().num_key_value_heads, 1);
  }
}

TEST_P(GqaRecipes, HeadsThatAreTurnedAreTurnedBack) {
  Random random(3);
  test::edit_checkpoint(directory_ / "in", directory_ / "same", &GqaRecipes::make_same);
  test::edit_checkpoint(directory_ / "same", directory_ / "turned",
                        [&](const Architecture& a, Block& block) { turn(a, block, random); });
  convert("turned", "rotation", 1);
  EXPECT_LT(change("same"), 1e-3F);
  EXPECT_LT(change("turned"), 1e-3F);
  convert("turned", "none", 1);
  EXPECT_GT(change("turned"), 1e-2F);
}

// On the text that o_proj was solved on.
TEST_P(GqaRecipes, OutputsAreNearerWhereTheyAreSolvedFor) {
  convert("in", "rotation", 1, "none");
  const float without = calibration_error("out", "in");
  convert("in", "rotation", 1);
  EXPECT_LT(calibration_error("out", "in"), without);
}

std::vector<test::FamilyVariant> with_heads_to_merge() {
  std::vector<test::FamilyVariant> some;
  for (const test::FamilyVariant& each : test::dense_family_variants()) {
    const Architecture a = parse_architecture(each.config);
    if (a.num_key_value_heads > 1 && a.family != "gpt_neox") some.push_back(each);
  }
  return some;
}

INSTANTIATE_TEST_SUITE_P(Families, GqaRecipes, testing::ValuesIn(with_heads_to_merge()),
                         [](const auto& tested) { return tested.param.name; });

class GqaRecipe : public GqaRecipes {};

TEST_P(GqaRecipe, IsPlainAndRefusesWhatDoesNotDivide) {
  convert("in", "rotation", 2);
  const Json config = read_json(directory_ / "out" / "config.json");
  EXPECT_EQ(config["num_key_value_heads"], 2);
  EXPECT_FALSE(config.contains("terse_config"));
  test::expect_error(ErrorKind::usage, "possible are 1, 2, 4",
                     [&] { convert("in", "rotation", 3); });
}

INSTANTIATE_TEST_SUITE_P(, GqaRecipe,
                         testing::Values(test::FamilyVariant{"llama",
                                                             test::family_variant("llama").config}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace terse
