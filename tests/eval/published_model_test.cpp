// Real models against numbers of an independent PyTorch forward pass (tests/oracle,
// ../shared/oracle).
#include <gtest/gtest.h>

#include <cmath>

#include "support/logits.h"
#include "support/paths.h"
#include "terse/eval/divergence.h"
#include "terse/eval/perplexity.h"
#include "terse/formats/npy.h"
#include "terse/model/cpu_operations.h"
#include "terse/model/generation.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse {
namespace {

// A model, its table, and where its token ids are.
struct Published {
  std::filesystem::path model;
  nlohmann::json table;
  std::filesystem::path ids;

  static Published docs_llama() {
    return {test::source_path("models/docs-llama"),
            test::read_json_file(test::source_path("tests/oracle/docs-llama.json")),
            test::source_path("tests/oracle/docs-llama")};
  }
  static Published stories() {
    return {test::shared_path("models/stories260K"),
            test::read_json_file(test::shared_path("oracle/stories260K.json")),
            test::shared_path("oracle/stories260K")};
  }
  static bool stories_absent() {
    return !std::filesystem::exists(test::shared_path("oracle/stories260K.json"));
  }

  Windows test_windows() const {
    return cut_windows(read_token_ids(ids / "test_ids.npy").ids,
                       table.at("window").get<std::int64_t>());
  }
};

#define SKIP_WITHOUT_STORIES() \
  if (Published::stories_absent()) GTEST_SKIP() << "shared data is absent: stories260K"

Matrix last_logits(const Model& model, const std::vector<std::int32_t>& ids) {
  return test::logits_of(model, {ids}).bottomRows(1);
}

void expect_logits(const Published& published, const std::string& key) {
  const Model model = Model::load(published.model);
  const Matrix logits =
      last_logits(model, published.table.at("prompt_ids").get<std::vector<std::int32_t>>());
  const auto expected = published.table.at(key).get<std::vector<double>>();
  const double largest = logits.cwiseAbs().maxCoeff();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(logits(0, static_cast<std::int64_t>(i)), expected[i], 1e-4 * largest)
        << "logit " << i;
  }
}

void expect_greedy(const Published& published) {
  const Model model = Model::load(published.model);
  const auto expected = published.table.at("greedy_ids").get<std::vector<std::int32_t>>();
  auto prompt = published.table.at("greedy_from").get<std::vector<std::int32_t>>();
  GenerationOptions options;
  options.max_tokens = static_cast<std::int64_t>(expected.size());
  const std::vector<std::int32_t> tokens = generate(model, {{prompt}}, options)[0].tokens;
  if (expected.size() > tokens.size()) {
    // The table may begin with the prompt.
    prompt.insert(prompt.end(), tokens.begin(), tokens.end());
    EXPECT_EQ(prompt, expected);
  } else {
    EXPECT_EQ(tokens, expected);
  }
}

TEST(DocsLlama, LogitsAgree) {
  expect_logits(Published::docs_llama(), "logits_at_last_prompt_position_first_32");
}

TEST(DocsLlama, BestTokensAgree) {
  const Published published = Published::docs_llama();
  const Model model = Model::load(published.model);
  const Matrix logits =
      last_logits(model, published.table.at("prompt_ids").get<std::vector<std::int32_t>>());
  for (const auto& entry : published.table.at("top5_at_last_prompt_position")) {
    EXPECT_NEAR(logits(0, entry[0].get<std::int64_t>()), entry[1].get<double>(), 1e-4 * 11);
  }
}

TEST(DocsLlama, GreedyContinuationIsIdentical) {
  expect_greedy(Published::docs_llama());
}

TEST(DocsLlama, PerplexityAgrees) {
  const Published published = Published::docs_llama();
  Progress silent;
  const double expected = published.table.at("scores").at("dense").at("perplexity").get<double>();
  const PerplexityResult found =
      perplexity(Model::load(published.model), published.test_windows(), silent);
  EXPECT_NEAR(found.perplexity / expected, 1.0, 0.0005);
  EXPECT_EQ(found.tokens, 160 * 255);
}

// Largest change by type, where at most 32 of 256 positions are held in float16.
TEST(DocsLlama, PerplexityWithAQuantizedCacheIsNearlyThatOfFloat32) {
  const Published published = Published::docs_llama();
  const Model model = Model::load(published.model);
  Windows windows = published.test_windows();
  keep_spread(windows, 40);
  Progress silent;
  const double exact = perplexity(model, windows, silent).perplexity;
  for (const auto& [type, tolerance] : {std::pair(CacheType::f16, 1e-4),
                                        {CacheType::bits8, 1e-3},
                                        {CacheType::bits4, 0.01},
                                        {CacheType::bits2, 0.02}}) {
    const double found = perplexity(model, windows, silent, {.type = type}).perplexity;
    EXPECT_NEAR(found / exact, 1.0, tolerance);
    EXPECT_NE(found, exact);
  }
}

TEST(DocsLlama, DivergenceFromItselfIsNothing) {
  const Published published = Published::docs_llama();
  const Model model = Model::load(published.model);
  Windows windows = published.test_windows();
  windows.windows.resize(6);
  Progress silent;
  const DivergenceResult found = divergence(model, model, windows, silent);
  EXPECT_NEAR(found.kl.mean, 0.0, 1e-6);
  EXPECT_EQ(found.top1.mean, 1.0);
  EXPECT_EQ(found.loss_difference.mean, 0.0);
  EXPECT_EQ(found.loss_difference.standard_error, 0.0);
}

TEST(Stories260K, LogitsAgree) {
  SKIP_WITHOUT_STORIES();
  expect_logits(Published::stories(), "logits_at_last_prompt_position");
}

TEST(Stories260K, GreedyContinuationIsIdentical) {
  SKIP_WITHOUT_STORIES();
  expect_greedy(Published::stories());
}

TEST(Stories260K, PerplexityAgrees) {
  SKIP_WITHOUT_STORIES();
  const Published published = Published::stories();
  Progress silent;
  const double expected = published.table.at("perplexity").at("dense").get<double>();
  const double found =
      perplexity(Model::load(published.model), published.test_windows(), silent).perplexity;
  EXPECT_NEAR(found / expected, 1.0, 0.0005);
}

TEST(Stories260K, TokensAgree) {
  SKIP_WITHOUT_STORIES();
  const Published published = Published::stories();
  const auto& tokenizer = published.table.at("tokenizer");
  const TextEncoder encoder = TextEncoder::load(published.model);
  EXPECT_EQ(encoder.encode(tokenizer.at("text").get<std::string>()),
            tokenizer.at("ids_with_bos").get<std::vector<std::int32_t>>());
}

}  // namespace
}  // namespace terse
