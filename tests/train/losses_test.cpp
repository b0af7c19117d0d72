// Losses: gradients by finite differences, chunks that change nothing, values by definition.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/finite_difference.h"
#include "terse/core/error.h"
#include "terse/train/losses/distillation.h"

namespace terse::train {
namespace {

using test::random_leaf;

constexpr std::int64_t kRows = 5;
constexpr std::int64_t kVocabulary = 7;

torch::Tensor targets() {
  return torch::tensor(std::vector<std::int64_t>{3, 0, kIgnored, 6, 3});
}

// hidden, weight, bias of a head.
std::vector<torch::Tensor> head(torch::ScalarType type = torch::kDouble) {
  return {random_leaf({kRows, 4}, 1, type), random_leaf({kVocabulary, 4}, 2, type),
          random_leaf({kVocabulary}, 3, type)};
}

torch::Tensor teacher_logits() {
  return random_leaf({kRows, kVocabulary}, 4).detach() * 2;
}

DivergenceFromTeacher from_teacher(const Divergence& divergence) {
  return
      [divergence, teachers = teacher_logits()](std::int64_t first, const torch::Tensor& logits) {
        const torch::Tensor rows = teachers.narrow(0, first, logits.size(0));
        return row_divergence(divergence, (rows / divergence.temperature).softmax(1), logits);
      };
}

TEST(ChunkedLoss, IsLibtorchsCrossEntropyInAnyChunks) {
  for (const auto type : {torch::kDouble, torch::kFloat}) {
    const auto h = head(type);
    const torch::Tensor expected = torch::nn::functional::cross_entropy(
        torch::linear(h[0], h[1], h[2]), targets(),
        torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
    const auto expected_grads = torch::autograd::grad({expected}, h);
    for (const std::int64_t rows : {1, 2, 5, 100}) {
      CrossEntropy loss(targets());
      const torch::Tensor found = chunked_loss(h[0], h[1], h[2], loss, 0.25, rows);
      EXPECT_NEAR(found.item<double>(), 0.25 * expected.item<double>(), 1e-5);
      const auto grads = torch::autograd::grad({found * 3}, h);
      for (std::size_t i = 0; i < h.size(); ++i) {
        EXPECT_LT((grads[i] - 0.75 * expected_grads[i]).abs().max().item<double>(), 2e-6);
      }
    }
  }
}

TEST(ChunkedLoss, HasTheRightGradients) {
  const auto h = head();
  CrossEntropy loss(targets());
  test::expect_gradients([&] { return chunked_loss(h[0], h[1], h[2], loss, 0.5, 2); }, h);
}

class Divergences : public testing::TestWithParam<std::string> {};

TEST_P(Divergences, HaveTheRightGradients) {
  for (const double temperature : {1.0, 2.5}) {
    for (const double weight : {1.0, 0.3}) {
      const auto h = head();
      Distillation loss(weight, from_teacher({parse_divergence(GetParam()), 0.3, temperature}),
                        targets());
      test::expect_gradients([&] { return chunked_loss(h[0], h[1], h[2], loss, 0.5, 2); }, h);
    }
  }
}

TEST_P(Divergences, AreNothingBetweenEquals) {
  const torch::Tensor logits = random_leaf({kRows, kVocabulary}, 8).detach();
  const auto found =
      row_divergence({parse_divergence(GetParam()), 0.3, 2.0}, (logits / 2).softmax(1), logits);
  EXPECT_LT(found.loss.abs().max().item<double>(), 1e-12);
  EXPECT_LT(found.gradient.abs().max().item<double>(), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(, Divergences, testing::ValuesIn(divergence_names()),
                         [](const auto& tested) { return tested.param; });

TEST(DivergenceValues, AreThoseOfTheirPapers) {
  const torch::Tensor p = torch::tensor({{0.5, 0.25, 0.25}}, torch::kDouble);
  const torch::Tensor q = torch::tensor({{0.2, 0.2, 0.6}}, torch::kDouble);
  const auto kl = [](const torch::Tensor& a, const torch::Tensor& b) {
    return (a * (a / b).log()).sum().item<double>();
  };
  const auto found = [&](const char* name) {
    return row_divergence({parse_divergence(name), 0.3, 1.0}, p, q.log()).loss.item<double>();
  };
  EXPECT_NEAR(found("forward_kl"), kl(p, q), 1e-12);
  EXPECT_NEAR(found("reverse_kl"), kl(q, p), 1e-12);
  const torch::Tensor m = 0.3 * p + 0.7 * q;
  EXPECT_NEAR(found("jensen_shannon"), 0.3 * kl(p, m) + 0.7 * kl(q, m), 1e-12);
  EXPECT_NEAR(found("skewed_kl"), kl(p, m), 1e-12);
  EXPECT_NEAR(found("skewed_reverse_kl"), kl(q, 0.3 * q + 0.7 * p), 1e-12);
  EXPECT_THROW(parse_divergence("kl"), Error);
}

}  // namespace
}  // namespace terse::train
