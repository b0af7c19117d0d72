// Generation: the same tokens however sequences are computed together, and what is told of them.
#include "terse/model/generation.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.h"
#include "support/logits.h"
#include "support/paths.h"

namespace terse {
namespace {

using test::expect_error;
using test::some_tokens;
using Tokens = std::vector<std::int32_t>;

const Model& docs_llama() {
  static const Model model = Model::load(test::source_path("models/docs-llama"));
  return model;
}

Tokens joined(Tokens first, const Tokens& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// Some share their beginnings, wholly or in part; of several lengths, with own limits and seeds.
std::vector<Prompt> prompts() {
  const Tokens beginning = some_tokens(70, 4096, 5);
  std::vector<Prompt> made;
  for (int i = 0; i < 9; ++i) {
    const Tokens own = some_tokens(1 + 7 * i % 40, 4096, i);
    made.push_back({i % 3 == 2 ? own : joined(beginning, own), static_cast<std::uint64_t>(i % 4)});
    if (i % 2 == 1) made.back().max_tokens = 3 * i;
  }
  made.push_back(made.front());
  return made;
}

GenerationOptions options(double temperature) {
  GenerationOptions made;
  made.max_tokens = 14;
  made.sampling.temperature = temperature;
  return made;
}

class GenerationInBatches : public testing::TestWithParam<double> {};

TEST_P(GenerationInBatches, GivesEachPromptWhatItGetsAlone) {
  const std::vector<Prompt> all = prompts();
  std::vector<Tokens> alone;
  for (const Prompt& prompt : all) {
    alone.push_back(generate(docs_llama(), {prompt}, options(GetParam()))[0].tokens);
  }
  EXPECT_EQ(alone.front(), alone.back()) << "the same prompt and seed";
  for (const std::int64_t together : {0, 1, 2, 3, 7, 50}) {
    GenerationOptions batch = options(GetParam());
    batch.batch_size = together;
    const std::vector<Continuation> made = generate(docs_llama(), all, batch);
    ASSERT_EQ(made.size(), all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(made[i].tokens, alone[i]) << "prompt " << i << ", " << together << " at a time";
    }
  }
}

TEST_P(GenerationInBatches, ASessionGivesTheSameAsNone) {
  Session session(docs_llama());
  for (const Prompt& prompt : prompts()) {
    EXPECT_EQ(generate(session, prompt, options(GetParam()), {}).tokens,
              generate(docs_llama(), {prompt}, options(GetParam()))[0].tokens);
  }
}

INSTANTIATE_TEST_SUITE_P(GreedyAndSampled, GenerationInBatches, testing::Values(0.0, 1.0));

TEST(Generation, AConversationFindsItsBeginningInTheSession) {
  Session session(docs_llama());
  const Prompt first{some_tokens(70, 4096)};
  const Continuation made = generate(session, first, options(0), {});
  const Tokens second = joined(joined(first.tokens, made.tokens), some_tokens(20, 4096, 3));
  // Room was made for 128; 70 of the prompt and all but the last of the 14 new ones are there.
  const std::int64_t limit = 104 + 14;
  EXPECT_EQ(session.reusable(second, limit), 64);
  generate(session, {second}, options(0), {});
  EXPECT_EQ(session.reusable(second, limit), 96);
}

TEST(Generation, SeedsGiveDifferentTexts) {
  const std::vector<Prompt> two{{some_tokens(9, 4096), 1}, {some_tokens(9, 4096), 2}};
  const std::vector<Continuation> made = generate(docs_llama(), two, options(1));
  EXPECT_NE(made[0].tokens, made[1].tokens);
}

TEST(Generation, EndsForTheReasonThatItSays) {
  const Prompt prompt{some_tokens(9, 4096)};
  const Tokens greedy = generate(docs_llama(), {prompt}, options(0))[0].tokens;
  ASSERT_EQ(greedy.size(), 14U);

  EXPECT_EQ(generate(docs_llama(), {prompt}, options(0))[0].end, EndReason::limit);

  GenerationOptions stopping = options(0);
  stopping.stop_tokens = {greedy[5]};
  const Continuation stopped = generate(docs_llama(), {prompt}, stopping)[0];
  EXPECT_EQ(stopped.end, EndReason::stop_token);
  const auto size = std::ranges::find(greedy, greedy[5]) - greedy.begin();
  EXPECT_EQ(stopped.tokens, Tokens(greedy.begin(), greedy.begin() + size));

  GenerationCallbacks callbacks;
  int count = 0;
  callbacks.on_token = [&](std::size_t, std::int32_t) { return ++count < 4; };
  const Continuation ended = generate(docs_llama(), {prompt}, options(0), callbacks)[0];
  EXPECT_EQ(ended.end, EndReason::callback);
  EXPECT_EQ(ended.tokens, Tokens(greedy.begin(), greedy.begin() + 4));
}

TEST(Generation, TellsOfTokensAndEndsInTheOrderInWhichTheyCome) {
  GenerationOptions two = options(0);
  two.batch_size = 2;
  const Tokens ids = some_tokens(5, 4096);
  const std::vector<Prompt> three{{ids, 0, 3}, {ids, 0, 1}, {ids, 0, 1}};
  std::string told;
  GenerationCallbacks callbacks;
  callbacks.on_token = [&](std::size_t index, std::int32_t) {
    told += fmt::format("t{} ", index);
    return true;
  };
  callbacks.on_end = [&](std::size_t index, const Continuation& made) {
    told += fmt::format("end{}:{} ", index, made.tokens.size());
  };
  generate(docs_llama(), three, two, callbacks);
  EXPECT_EQ(told, "t0 t1 end1:1 t0 t2 end2:1 t0 end0:3 ");
}

TEST(Generation, LogProbabilitiesAreThoseOfTheModelsLogits) {
  const Prompt prompt{some_tokens(20, 4096), 3};
  GenerationOptions sampled = options(1.7);
  sampled.sampling.top_k = 40;
  sampled.sampling.repetition_penalty = 1.3;
  EXPECT_TRUE(generate(docs_llama(), {prompt}, sampled)[0].log_probabilities.empty());
  sampled.log_probabilities = 3;
  const Continuation made = generate(docs_llama(), {prompt}, sampled)[0];
  ASSERT_EQ(made.log_probabilities.size(), made.tokens.size());
  const Matrix logits = test::logits_of(docs_llama(), {joined(prompt.tokens, made.tokens)});
  for (std::size_t i = 0; i < made.tokens.size(); ++i) {
    const Eigen::RowVectorXd row =
        logits.row(static_cast<std::int64_t>(prompt.tokens.size() + i) - 1).cast<double>();
    const double total = std::log((row.array() - row.maxCoeff()).exp().sum()) + row.maxCoeff();
    const TokenLogProbabilities& found = made.log_probabilities[i];
    EXPECT_EQ(found.chosen.id, made.tokens[i]);
    EXPECT_NEAR(found.chosen.value, row(made.tokens[i]) - total, 1e-9);
    ASSERT_EQ(found.best.size(), 3U);
    EXPECT_NEAR(found.best[0].value, row.maxCoeff() - total, 1e-9);
    EXPECT_NEAR(found.best[2].value, row(found.best[2].id) - total, 1e-9);
    EXPECT_GE(found.best[1].value, found.best[2].value);
  }
}

TEST(Generation, RefusesPromptsBeforeAnythingIsComputed) {
  GenerationCallbacks callbacks;
  callbacks.on_token = [](std::size_t, std::int32_t) {
    ADD_FAILURE() << "a token was computed";
    return true;
  };
  const Prompt good{some_tokens(5, 4096)};
  expect_error(ErrorKind::bad_input, "the prompt has no tokens", [&] {
    generate(docs_llama(), {good, Prompt{}}, options(0), callbacks);
  });
  expect_error(ErrorKind::bad_input, "256 tokens; the model's context is 256", [&] {
    generate(docs_llama(), {good, Prompt{some_tokens(256, 4096)}}, options(0), callbacks);
  });
}

}  // namespace
}  // namespace terse
