// Divergences from a teacher's most probable tokens: gradients by finite differences, the whole
// divergence where all tokens are known, merged outcomes by their definition.
#include "terse/train/losses/top_k_divergence.h"

#include <gtest/gtest.h>

#include "support/finite_difference.h"
#include "terse/train/losses/distillation.h"

namespace terse::train {
namespace {

using test::random_leaf;

constexpr std::int64_t kRows = 4;
constexpr std::int64_t kVocabulary = 9;

torch::Tensor targets() {
  return torch::tensor(std::vector<std::int64_t>{3, kIgnored, 8, 3});
}

torch::Tensor teacher_logits() {
  return random_leaf({kRows, kVocabulary}, 4).detach() * 2;
}

// The k most probable tokens of logits, and all others.
TopK top_of(const torch::Tensor& logits, std::int64_t k) {
  const torch::Tensor p = logits.softmax(1);
  const torch::Tensor ids = std::get<1>(p.topk(k, 1));
  const torch::Tensor top = p.gather(1, ids);
  if (k == logits.size(1)) return {ids, top.log()};
  return {ids, torch::cat({top, 1 - top.sum(1, true)}, 1).log()};
}

DivergenceFromTeacher from_top(const Divergence& divergence, std::int64_t k) {
  return [divergence, top = top_of(teacher_logits(), k)](std::int64_t first,
                                                         const torch::Tensor& logits) {
    const std::int64_t rows = logits.size(0);
    return top_k_divergence(
        divergence, {top.ids.narrow(0, first, rows), top.log_probabilities.narrow(0, first, rows)},
        logits);
  };
}

class TopKDivergences : public testing::TestWithParam<std::string> {
 protected:
  static Divergence divergence(double temperature) {
    return {parse_divergence(GetParam()), 0.3, temperature};
  }
};

TEST_P(TopKDivergences, HaveTheRightGradients) {
  for (const std::int64_t k : {1, 3, 8, 9}) {
    for (const double temperature : {1.0, 2.5}) {
      for (const double weight : {1.0, 0.3}) {
        const std::vector<torch::Tensor> head{random_leaf({kRows, 4}, 1),
                                              random_leaf({kVocabulary, 4}, 2),
                                              random_leaf({kVocabulary}, 3)};
        Distillation loss(weight, from_top(divergence(temperature), k), targets());
        test::expect_gradients(
            [&] { return chunked_loss(head[0], head[1], head[2], loss, 0.5, 3); }, head);
      }
    }
  }
}

TEST_P(TopKDivergences, AreTheWholeOneWhenAllTokensAreKnown) {
  const torch::Tensor logits = random_leaf({kRows, kVocabulary}, 8).detach();
  for (const double temperature : {1.0, 0.5, 2.5}) {
    const Divergence d = divergence(temperature);
    const auto whole = row_divergence(d, (teacher_logits() / temperature).softmax(1), logits);
    const auto found = top_k_divergence(d, top_of(teacher_logits(), kVocabulary), logits);
    EXPECT_LT((found.loss - whole.loss).abs().max().item<double>(), 1e-12);
    EXPECT_LT((found.gradient - whole.gradient).abs().max().item<double>(), 1e-12);
  }
}

TEST_P(TopKDivergences, NeverExceedTheWholeOneAndGrowWithWhatIsKnown) {
  const torch::Tensor logits = random_leaf({kRows, kVocabulary}, 8).detach();
  torch::Tensor last = torch::zeros({kRows}, torch::kDouble);
  for (std::int64_t k = 1; k <= kVocabulary; ++k) {
    const auto found = top_k_divergence(divergence(1), top_of(teacher_logits(), k), logits);
    EXPECT_GE((found.loss - last).min().item<double>(), -1e-12) << k;
    last = found.loss;
  }
}

TEST_P(TopKDivergences, AreNothingBetweenEquals) {
  const torch::Tensor logits = random_leaf({kRows, kVocabulary}, 8).detach();
  for (const double temperature : {1.0, 2.0}) {
    const auto found = top_k_divergence(divergence(temperature), top_of(logits, 3), logits);
    EXPECT_LT(found.loss.abs().max().item<double>(), 1e-12);
    EXPECT_LT(found.gradient.abs().max().item<double>(), 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(, TopKDivergences, testing::ValuesIn(divergence_names()),
                         [](const auto& tested) { return tested.param; });

// Written out for one row: p = (1/2, 1/4 | 1/4), q = (1/5, 1/5 | 3/5).
TEST(TopKDivergence, MergesWhatIsNotKnown) {
  const torch::Tensor logits = torch::tensor({{0.2, 0.1, 0.2, 0.5}}, torch::kDouble).log();
  const TopK teacher{torch::tensor({{0, 2}}, torch::kLong),
                     torch::tensor({{0.5, 0.25, 0.25}}, torch::kDouble).log()};
  const auto found = top_k_divergence({DivergenceKind::forward_kl, 0.5, 1.0}, teacher, logits);
  EXPECT_NEAR(found.loss.item<double>(),
              0.5 * std::log(0.5 / 0.2) + 0.25 * std::log(0.25 / 0.2) + 0.25 * std::log(0.25 / 0.6),
              1e-12);
  // q - p for the known ones; the others share 3/5 - 1/4 as 1/10 to 5/10.
  const torch::Tensor expected =
      torch::tensor({{-0.3, 0.35 / 6, -0.05, 0.35 * 5 / 6}}, torch::kDouble);
  EXPECT_LT((found.gradient - expected).abs().max().item<double>(), 1e-12);
}

}  // namespace
}  // namespace terse::train
