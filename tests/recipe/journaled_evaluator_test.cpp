// Losses that survive the process.
#include "terse/recipe/journaled_evaluator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support/family_variants.h"
#include "support/random_checkpoint.h"
#include "support/temporary_directory.h"

namespace terse {
namespace {

// Each answer is another one.
class Counting : public Evaluator {
 public:
  double loss(const Model& /*model*/) override { return std::sqrt(++asked); }

  int asked = 0;
};

class Steps : public Progress {
 public:
  void advance(std::int64_t units) override { done += units; }

  std::int64_t done = 0;
};

TEST(JournaledEvaluators, AnswerAtOnceWhatAnEarlierProcessAsked) {
  const test::TemporaryDirectory directory;
  test::write_checkpoint(test::family_variant("llama"), directory / "m", "F32");
  const Model model = Model::open(directory / "m");
  Counting inner;
  const auto answers = [&](int count, int& kept) {
    Journal journal(directory / "work", RunIdentity{}, 1, 1);
    Steps progress;
    JournaledEvaluator evaluator(
        inner, journal, [&] { ++kept; }, progress);
    std::vector<double> losses;
    for (int i = 0; i < count; ++i) losses.push_back(evaluator.loss(model));
    EXPECT_EQ(progress.done, count);
    return losses;
  };
  int kept = 0;
  const std::vector<double> first = answers(3, kept);
  EXPECT_EQ(inner.asked, 3);
  EXPECT_EQ(kept, 3);
  const std::vector<double> again = answers(5, kept);
  EXPECT_EQ(inner.asked, 5);
  EXPECT_EQ(kept, 5);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(again[static_cast<std::size_t>(i)], std::sqrt(i + 1));
  EXPECT_TRUE(std::equal(first.begin(), first.end(), again.begin()));
}

// Digit for digit, whatever they are.
TEST(JournaledEvaluators, LossesAreReadAsTheyWereWritten) {
  JournalList list = JournalList::empty(Json::object(), 1);
  list.passes[0].losses = {0.1, 1e-300, 12345.678901234567};
  EXPECT_EQ(parse_journal_list(to_json(list).dump()), list);
  list.passes[0].losses = {std::numeric_limits<double>::quiet_NaN()};
  const JournalList read = parse_journal_list(to_json(list).dump());
  ASSERT_EQ(read.passes[0].losses.size(), 1U);
  EXPECT_TRUE(std::isnan(read.passes[0].losses[0]));
}

}  // namespace
}  // namespace terse
