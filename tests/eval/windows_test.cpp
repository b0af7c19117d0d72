// Windows, statistics and the losses computed from them.
#include "terse/eval/windows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "support/family_variants.h"
#include "support/reference_model.h"
#include "support/temporary_directory.h"
#include "terse/core/error.h"
#include "terse/eval/divergence.h"
#include "terse/eval/perplexity.h"
#include "terse/eval/statistics.h"

namespace terse {
namespace {

std::vector<std::int32_t> counting(int count) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

TEST(CutWindows, LieSideBySideAndDropTheRest) {
  const Windows windows = cut_windows(counting(23), 5);
  ASSERT_EQ(windows.windows.size(), 4U);
  EXPECT_EQ(windows.tokens(windows.windows[3]).front(), 15);
  for (const Window& window : windows.windows) EXPECT_EQ(window.score_from, window.begin + 1);
}

TEST(CutWindows, WithAStrideScoreEveryTokenOnce) {
  for (const int stride : {1, 2, 3, 4}) {
    const Windows windows = cut_windows(counting(23), 5, stride);
    std::vector<int> scored(23);
    for (const Window& window : windows.windows) {
      EXPECT_LE(window.end - window.begin, 5);
      for (std::int64_t i = window.score_from; i < window.end; ++i)
        ++scored[static_cast<std::size_t>(i)];
    }
    EXPECT_EQ(scored[0], 0);
    EXPECT_THAT(std::vector<int>(scored.begin() + 1, scored.end()), testing::Each(1))
        << "stride " << stride;
  }
}

TEST(CutWindows, WithAStrideAsLongAsAWindowAreThoseSideBySide) {
  const Windows strided = cut_windows(counting(20), 5, 5);
  const Windows plain = cut_windows(counting(20), 5);
  ASSERT_EQ(strided.windows.size(), plain.windows.size());
  for (std::size_t i = 0; i < plain.windows.size(); ++i) {
    EXPECT_EQ(strided.windows[i].begin, plain.windows[i].begin);
    EXPECT_EQ(strided.windows[i].score_from, plain.windows[i].score_from);
  }
}

TEST(CutWindows, RefuseATextShorterThanOne) {
  try {
    cut_windows(counting(4), 5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 3);
    EXPECT_THAT(error.what(), testing::HasSubstr("4 tokens"));
  }
  EXPECT_THROW(cut_windows(counting(9), 1), Error);
  EXPECT_THROW(cut_windows(counting(9), 5, 6), Error);
}

TEST(KeepSpread, TakesWindowsFromTheWholeText) {
  Windows windows = cut_windows(counting(100), 10);
  keep_spread(windows, 4);
  ASSERT_EQ(windows.windows.size(), 4U);
  EXPECT_EQ(windows.windows[0].begin, 0);
  EXPECT_EQ(windows.windows[1].begin, 20);
  EXPECT_EQ(windows.windows[2].begin, 50);
  EXPECT_EQ(windows.windows[3].begin, 70);
  EXPECT_EQ(windows.rows(), 40);
  keep_spread(windows, 9);
  EXPECT_EQ(windows.windows.size(), 4U);
}

TEST(BlockedMean, AgreesWithTheTextbookForEqualBlocks) {
  // Block means 1, 2, 6: mean 3, standard deviation sqrt(7), standard error sqrt(7 / 3).
  const Estimate estimate = blocked_mean({4, 8, 24}, {4, 4, 4});
  EXPECT_DOUBLE_EQ(estimate.mean, 3.0);
  EXPECT_NEAR(estimate.standard_error, std::sqrt(7.0 / 3.0), 1e-12);
}

TEST(Quantile, InterpolatesBetweenNeighbours) {
  std::vector<float> values{5, 1, 4, 2, 3};
  EXPECT_DOUBLE_EQ(quantile_of(values, 0.5), 3.0);
  EXPECT_DOUBLE_EQ(quantile_of(values, 0.9), 4.6);
  EXPECT_DOUBLE_EQ(quantile_of(values, 1.0), 5.0);
}

double log_softmax(const std::vector<double>& logits, std::int32_t id) {
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  return logits[static_cast<std::size_t>(id)] - std::log(sum);
}

std::vector<int> as_ints(std::span<const std::int32_t> ids) {
  return {ids.begin(), ids.end()};
}

// Two models of one family with different weights, on disk.
class TwoModels : public testing::Test {
 protected:
  TwoModels() {
    const test::RandomCheckpoint found = test::family_variant("llama_grouped");
    checkpoints_ = {found, test::random_checkpoint("another", found.config)};
    test::write_checkpoint(checkpoints_[0], directory_ / "a", "F32");
    test::write_checkpoint(checkpoints_[1], directory_ / "b", "F32");
  }

  std::vector<std::vector<double>> reference(std::size_t which,
                                             std::span<const std::int32_t> ids) const {
    return test::reference_logits(checkpoints_[which].config, checkpoints_[which].weights,
                                  as_ints(ids));
  }

  static Windows some_windows(std::int64_t stride) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 60; ++i) ids.push_back((i * i + 3 * i) % 67);
    return cut_windows(ids, 20, stride);
  }

  test::TemporaryDirectory directory_;
  std::vector<test::RandomCheckpoint> checkpoints_;
  Progress silent_;
};

TEST_F(TwoModels, LossIsTheMeanOfTheReferences) {
  for (const std::int64_t stride : {0, 7}) {
    const Windows windows = some_windows(stride);
    double sum = 0;
    int count = 0;
    for (const Window& window : windows.windows) {
      const auto ids = windows.tokens(window);
      const auto logits = reference(0, ids);
      for (std::int64_t i = window.score_from; i < window.end; ++i, ++count) {
        const auto at = static_cast<std::size_t>(i - window.begin);
        sum -= log_softmax(logits[at - 1], ids[at]);
      }
    }
    const PerplexityResult found = perplexity(Model::load(directory_ / "a"), windows, silent_);
    EXPECT_EQ(found.tokens, count);
    EXPECT_NEAR(found.loss.mean, sum / count, 1e-5);
    EXPECT_NEAR(found.perplexity, std::exp(sum / count), 1e-3);
    EXPECT_DOUBLE_EQ(PerplexityEvaluator(windows).loss(Model::load(directory_ / "a")),
                     found.loss.mean);
  }
}

TEST_F(TwoModels, DivergenceIsThatOfTheReferences) {
  const Windows windows = some_windows(0);
  double kl = 0;
  double difference = 0;
  int same = 0;
  int count = 0;
  for (const Window& window : windows.windows) {
    const auto ids = windows.tokens(window);
    const auto p = reference(0, ids);
    const auto q = reference(1, ids);
    for (std::size_t at = 0; at + 1 < ids.size(); ++at, ++count) {
      for (std::int32_t id = 0; id < 67; ++id) {
        kl += std::exp(log_softmax(p[at], id)) * (log_softmax(p[at], id) - log_softmax(q[at], id));
      }
      difference += log_softmax(p[at], ids[at + 1]) - log_softmax(q[at], ids[at + 1]);
      same += std::max_element(p[at].begin(), p[at].end()) - p[at].begin() ==
                      std::max_element(q[at].begin(), q[at].end()) - q[at].begin()
                  ? 1
                  : 0;
    }
  }
  const DivergenceResult found =
      divergence(Model::load(directory_ / "a"), Model::load(directory_ / "b"), windows, silent_);
  EXPECT_EQ(found.tokens, count);
  EXPECT_NEAR(found.kl.mean, kl / count, 1e-4 * kl / count);
  EXPECT_NEAR(found.loss_difference.mean, difference / count, 1e-4);
  EXPECT_DOUBLE_EQ(found.top1.mean, static_cast<double>(same) / count);
  EXPECT_GT(found.kl_99, found.kl.mean);
}

}  // namespace
}  // namespace terse
