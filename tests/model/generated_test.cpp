// Weights that are made when they are loaded, and models of them.
#include "terse/model/weights/generated.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <random>

#include "support/expect_error.h"
#include "terse/core/threads.h"
#include "terse/model/normal_rows.h"
#include "terse/model/synthetic.h"
#include "terse/model/weights/group_quantized.h"

namespace terse {
namespace {

constexpr std::int64_t kRows = 512;
constexpr std::int64_t kColumns = 1024;

Matrix made(const GeneratedScheme& scheme, const char* module = "m") {
  return generate_weight(scheme, module, {kRows, kColumns})->dense();
}

double share_of_zeros(const Matrix& values) {
  return static_cast<double>((values.array() == 0).count()) / static_cast<double>(values.size());
}

// Shares of the codes of a weight.
std::array<double, 16> shares(const std::vector<std::uint8_t>& codes) {
  std::array<double, 16> found{};
  for (const std::uint8_t code : codes) found.at(code) += 1.0 / static_cast<double>(codes.size());
  return found;
}

// Rounds numbers of the standard library's normal distribution in groups of 32. What the scale is
// rounded to decides where the largest number goes, which lies between two codes.
std::vector<std::uint8_t> independent_codes() {
  std::mt19937_64 generator(1);
  std::normal_distribution<double> normal;
  std::vector<std::uint8_t> codes;
  for (std::int64_t group = 0; group < kRows * kColumns / 32; ++group) {
    std::array<double, 32> values{};
    double most = 0;
    for (double& value : values) most = std::max(most, std::abs(value = normal(generator)));
    const auto scale = round_to_dtype(DType::bf16, static_cast<float>(2 * most / 15));
    for (const double value : values) {
      const double code = std::nearbyint(value / static_cast<double>(scale)) + 8;
      codes.push_back(static_cast<std::uint8_t>(std::clamp(code, 0.0, 15.0)));
    }
  }
  return codes;
}

TEST(GeneratedWeights, AreNormal) {
  const Matrix values = made({});
  const double deviation = std::sqrt(values.cast<double>().array().square().mean());
  EXPECT_NEAR(values.cast<double>().mean(), 0, 1e-4);
  EXPECT_NEAR(deviation, 0.02, 1e-4);
  const auto within = [&](double deviations) {
    const auto count = (values.array().abs() < 0.02 * deviations).count();
    return static_cast<double>(count) / static_cast<double>(values.size());
  };
  EXPECT_NEAR(within(1), 0.6827, 2e-3);
  EXPECT_NEAR(within(2), 0.9545, 1e-3);
  EXPECT_NEAR(within(3), 0.9973, 3e-4);
}

TEST(GeneratedWeights, HaveTheCodesOfRoundedNormalNumbers) {
  const auto weight = generate_weight({.bits = 4}, "m", {kRows, kColumns});
  const QuantizedMatrix matrix = dynamic_cast<GroupQuantizedWeight&>(*weight).quantized();
  const auto found = shares(matrix.codes);
  const auto expected = shares(independent_codes());
  for (std::size_t code = 0; code < found.size(); ++code) {
    EXPECT_NEAR(found.at(code), expected.at(code), 0.02 * expected.at(code) + 5e-4) << code;
  }
  // The same numbers without rounding are half a step away, but for scales and numbers in bfloat16.
  const Matrix values = made({});
  const Matrix rounded = matrix.dense();
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kColumns; ++c) {
      EXPECT_LE(std::abs(values(r, c) - rounded(r, c)), 0.56F * matrix.scales(r, c / 32));
    }
  }
}

TEST(GeneratedWeights, DependOnSeedAndModuleAloneNotOnThreads) {
  const int before = thread_count();
  const Matrix expected = made({.bits = 3});
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    EXPECT_EQ(made({.bits = 3}), expected);
  }
  set_thread_count(before);
  EXPECT_NE(made({.seed = 1, .bits = 3}), expected);
  EXPECT_NE(made({.bits = 3}, "n"), expected);
}

TEST(GeneratedWeights, DropTheSmallestMagnitudes) {
  const GeneratedSparsity bitmap{SparseLayout::bitmap, 0.75};
  const Matrix all = made({});
  const Matrix kept = made({.sparsity = bitmap});
  EXPECT_NEAR(share_of_zeros(kept), 0.75, 3e-3);
  const float least = (kept.array() == 0).select(1.0F, kept.array().abs()).minCoeff();
  EXPECT_TRUE(((kept.array() != 0) || (all.array().abs() <= least)).all());
  EXPECT_TRUE(((kept.array() == 0) || (kept.array() == all.array())).all());
  EXPECT_NEAR(share_of_zeros(made({.bits = 4, .sparsity = bitmap})), 0.75, 3e-3);
}

TEST(GeneratedWeights, KeepTwoOfFour) {
  const Matrix kept = made({.sparsity = GeneratedSparsity{SparseLayout::two_four, 0.5}});
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kColumns; c += 4) {
      EXPECT_EQ((kept.row(r).segment(c, 4).array() != 0).count(), 2);
    }
  }
}

TEST(GeneratedWeights, HaveRowsOfAnyLength) {
  NormalRows rows(0, "m", 7, 1.0);
  std::vector<float> row;
  rows.make(3, row);
  EXPECT_EQ(row.size(), 7U);
}

TEST(GeneratedWeights, AreReadFromAConfig) {
  for (const GeneratedScheme& scheme :
       {GeneratedScheme{},
        GeneratedScheme{.seed = 3, .deviation = 0.5, .bits = 5, .group_size = 64},
        GeneratedScheme{.bits = 4, .sparsity = GeneratedSparsity{SparseLayout::two_four, 0.5}}}) {
    EXPECT_EQ(parse_generated_scheme(to_json(scheme)), scheme);
  }
  EXPECT_EQ(parse_generated_scheme({{"layout", "bitmap"}}), std::nullopt);
  const auto refused = [](Json changes, const char* says) {
    Json json = to_json({.bits = 4, .sparsity = GeneratedSparsity{}});
    json.update(changes);
    test::expect_error(ErrorKind::bad_input, says, [&] { parse_generated_scheme(json); });
  };
  refused({{"seed", -1}}, "key 'seed'");
  refused({{"deviation", 0}}, "key 'deviation'");
  refused({{"bits", 9}}, "key 'bits'");
  refused({{"group_size", 0}}, "key 'group_size'");
  refused({{"sparsity", 1.0}}, "key 'sparsity'");
  refused({{"sparse_layout", "2:4"}, {"sparsity", 0.6}}, "key 'sparsity'");
  refused({{"sparse_layout", "4:8"}}, "expected bitmap and a share");
  test::expect_error(ErrorKind::bad_input, "groups of 32 do not divide its 48 columns", [] {
    generate_weight({.bits = 4}, "m", {2, 48});
  });
}

double parameters(const Architecture& a) {
  double sum = static_cast<double>(a.vocab_size * a.hidden_size) * (a.tie_word_embeddings ? 1 : 2);
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const LinearKey& key : a.block_linears(block)) {
      sum += static_cast<double>(a.out_features(block, key.role) * a.in_features(block, key.role));
    }
  }
  return sum;
}

TEST(SyntheticModels, HaveTheirShapes) {
  const auto millions = [](const char* shape) {
    return parameters(open_synthetic({.shape = shape}).architecture()) / 1e6;
  };
  EXPECT_NEAR(millions("llama-1b"), 1100, 1);
  EXPECT_NEAR(millions("llama-8b"), 8030, 1);
  EXPECT_NEAR(millions("qwen2-0.5b"), 494, 1);
  EXPECT_FALSE(open_synthetic({.shape = "qwen2-0.5b"}).architecture().biases.empty());
  EXPECT_EQ(synthetic_shapes().size(), 4U);
}

TEST(SyntheticModels, TakeAsManyBytesAsTheirBits) {
  const auto bits_per_weight = [](const SyntheticOptions& options) {
    Model model = open_synthetic(options);
    model.load_block(0);
    const Weight& weight = *model.block(0).linears.at(LinearRole::gate_proj).weight;
    return 8 * static_cast<double>(weight.cost().bytes) /
           static_cast<double>(weight.rows() * weight.columns());
  };
  EXPECT_DOUBLE_EQ(bits_per_weight({.shape = "tiny"}), 4.5);
  EXPECT_DOUBLE_EQ(bits_per_weight({.shape = "tiny", .bits = 3, .group_size = 128}), 3.125);
  EXPECT_DOUBLE_EQ(bits_per_weight({.shape = "tiny", .bits = 16}), 16);
}

// What the headers say is what is there, and only the blocks are sparse.
TEST(SyntheticModels, HoldTheWeightsThatTheyAreNamedFor) {
  const SyntheticOptions options{.shape = "tiny",
                                 .sparsity = GeneratedSparsity{SparseLayout::bitmap, 0.5}};
  EXPECT_EQ(synthetic_name(options), "tiny, 4 bits group 32 bitmap 0.5");
  Model model = open_synthetic(options);
  model.load_all();
  EXPECT_EQ(model.head().weight->kind(), "4 bits group 32");
  EXPECT_EQ(model.embedding().kind(), "4 bits group 32");
  for (const auto& [key, linear] : model.block(5).linears) {
    EXPECT_EQ(linear.weight->kind(), "4 bits group 32 bitmap");
    EXPECT_EQ(model.stored_kind(linear.module, "Linear"), linear.weight->kind());
    EXPECT_NEAR(share_of_zeros(linear.weight->dense()), 0.5, 0.01);
  }
  EXPECT_EQ(model.final_norm().weight, Vector::Ones(256));
}

TEST(SyntheticModels, LeaveNothingBehind) {
  const Model model = open_synthetic({.shape = "tiny"});
  EXPECT_FALSE(std::filesystem::exists(model.checkpoint().dir()));
}

TEST(SyntheticModels, RefuseWhatTheyCannotBe) {
  const auto refused = [](const SyntheticOptions& options, const char* says) {
    test::expect_error(ErrorKind::usage, says, [&] { open_synthetic(options); });
  };
  refused({.shape = "llama-2b"}, "choose llama-1b, llama-8b, qwen2-0.5b, tiny");
  refused({.shape = "tiny", .bits = 9}, "9 bits; expected 2 to 8, or 16");
  refused({.shape = "tiny", .group_size = 100}, "groups of 100 do not divide the 256 columns");
}

}  // namespace
}  // namespace terse
