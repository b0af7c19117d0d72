// What tokens cost, and how fast they come.
#include "terse/eval/throughput.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/temporary_directory.h"
#include "terse/model/synthetic.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/low_rank.h"
#include "terse/model/weights/shared.h"

namespace terse {
namespace {

using test::family_variant;

Model loaded(const test::TemporaryDirectory& directory, const std::string& variant) {
  write_checkpoint(family_variant(variant), directory / "m", "BF16");
  return Model::load(directory / "m");
}

// Counted from the shapes: what the linears of a model hold, all experts included.
double parameters_of_blocks(const Model& model) {
  double sum = 0;
  for (std::int64_t block = 0; block < model.architecture().num_hidden_layers; ++block) {
    for (const auto& [key, linear] : model.block(block).linears) {
      sum += static_cast<double>(linear.weight->rows() * linear.weight->columns());
    }
  }
  return sum;
}

TEST(TokenCosts, AreThoseOfWeightsAndAttention) {
  const test::TemporaryDirectory directory;
  const Model model = loaded(directory, "llama");
  const Architecture& a = model.architecture();
  const TokenCost cost = token_cost(model, ActivationType::f32, {.prompt_tokens = 9, .tokens = 4});
  const double blocks = parameters_of_blocks(model);
  const auto head = static_cast<double>(a.vocab_size * a.hidden_size);
  const auto layers = static_cast<double>(a.num_hidden_layers);
  // Rows of a prompt attend to (9 + 1) / 2 positions, scores and sums of values.
  const double attention = layers * 4 * 5 * static_cast<double>(a.query_size(0));
  EXPECT_DOUBLE_EQ(cost.prompt_operations, 2 * (blocks + head / 9) + attention);
  // Held in bfloat16, rows rounded up to panels of 32; keys and values of 11 positions are floats.
  const double cache = layers * 2 * 11 * 4 * static_cast<double>(a.key_size(0));
  EXPECT_GE(cost.generation_bytes, 2 * (blocks + head) + cache);
  EXPECT_LE(cost.generation_bytes, 2 * 2 * (blocks + head) + cache);
}

// Rows 1 to 9 of a prompt, of which each sees no more than the window.
TEST(TokenCosts, OfWindowsEndThere) {
  const test::TemporaryDirectory directory;
  const Model model = loaded(directory, "mistral_window");
  const Architecture& a = model.architecture();
  const TokenCost cost = token_cost(model, ActivationType::f32, {.prompt_tokens = 9, .tokens = 4});
  double attention = 0;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    const std::int64_t window = a.sliding_window[static_cast<std::size_t>(block)];
    ASSERT_GT(window, 0);
    ASSERT_LT(window, 9);
    for (std::int64_t row = 1; row <= 9; ++row) {
      attention += static_cast<double>(4 * std::min(row, window) * a.query_size(block)) / 9;
    }
  }
  const auto head = static_cast<double>(a.vocab_size * a.hidden_size);
  EXPECT_NEAR(cost.prompt_operations, 2 * (parameters_of_blocks(model) + head / 9) + attention,
              1e-6 * cost.prompt_operations);
}

TEST(TokenCosts, SayWhichOperationsAreThoseOfIntegers) {
  const auto cost = [](const SyntheticOptions& options, ActivationType activations) {
    Model model = open_synthetic(options, activations);
    model.load_all();
    return token_cost(model, activations, {.prompt_tokens = 9, .tokens = 4});
  };
  const TokenCost integers = cost({.shape = "tiny"}, ActivationType::int8);
  // Four values of scores and sums for each of 5 positions and 256 columns, in each of 6 blocks.
  EXPECT_DOUBLE_EQ(integers.integer_operations, integers.prompt_operations - 6 * 4 * 5 * 256);
  EXPECT_EQ(cost({.shape = "tiny"}, ActivationType::f32).integer_operations, 0);
  EXPECT_EQ(cost({.shape = "tiny", .bits = 16}, ActivationType::int8).integer_operations, 0);
}

TEST(TokenCosts, OfExpertsAreThoseThatARowTakes) {
  const test::TemporaryDirectory directory;
  Model model = loaded(directory, "mixtral");
  const Architecture& a = model.architecture();
  const double all =
      token_cost(model, ActivationType::f32, {.prompt_tokens = 4, .tokens = 4}).prompt_operations;
  double spared = 0;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const auto& [key, linear] : model.block(block).linears) {
      if (!key.of_expert() || key.expert < a.experts.per_token) continue;
      spared += static_cast<double>(linear.weight->rows() * linear.weight->columns());
    }
  }
  EXPECT_GT(spared, 0);
  EXPECT_LT(all, 2 * parameters_of_blocks(model));
  EXPECT_GT(all, 2 * (parameters_of_blocks(model) - spared));
}

TEST(TokenCosts, AreTheSumOfAWeightsParts) {
  const auto dense = [](std::int64_t rows, std::int64_t columns) {
    return std::make_shared<DenseWeight>(Matrix::Ones(rows, columns), DType::bf16);
  };
  LowRank factors(dense(32, 96), dense(64, 32));
  factors.prepare();
  EXPECT_EQ(factors.cost().multiply_adds, 32U * (96 + 64));
  EXPECT_EQ(factors.cost().bytes, 2U * 32 * (96 + 64));
  Shared shared("m", dense(64, 96), std::make_shared<LowRank>(dense(32, 96), dense(64, 32)));
  shared.prepare();
  EXPECT_EQ(shared.cost().multiply_adds, 64U * 96 + 32 * (96 + 64));
  EXPECT_EQ(shared.cost().bytes, 2 * shared.cost().multiply_adds);
}

TEST(Throughputs, AreMeasuredUpToTheContext) {
  const test::TemporaryDirectory directory;
  const Model model = loaded(directory, "llama");
  const std::int64_t context = model.architecture().context_length();
  const Throughput found = measure_throughput(model, {.prompt_tokens = context - 2, .tokens = 2});
  EXPECT_GT(found.prompt, 0);
  EXPECT_GT(found.generation, 0);
  const auto refused = [&](ThroughputOptions options, const char* says) {
    test::expect_error(ErrorKind::usage, says, [&] { measure_throughput(model, options); });
  };
  refused({.prompt_tokens = context - 2, .tokens = 3}, "do not fit the model's context");
  refused({.prompt_tokens = INT64_MAX, .tokens = 3}, "do not fit the model's context");
  refused({.prompt_tokens = 0, .tokens = 3}, "expected 1 and 2 at least");
  refused({.prompt_tokens = 1, .tokens = 1}, "expected 1 and 2 at least");
}

}  // namespace
}  // namespace terse
