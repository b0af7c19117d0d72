// The one forward pass on libtorch's tensors agrees with the core for every family.
#include <gtest/gtest.h>

#include "support/family_variants.h"
#include "support/logits.h"
#include "support/temporary_directory.h"
#include "terse/train/tensors.h"
#include "terse/train/torch_operations.h"

namespace terse::train {
namespace {

torch::Tensor ids_of(const std::vector<std::vector<std::int32_t>>& sequences) {
  std::vector<torch::Tensor> rows;
  for (const auto& ids : sequences) rows.push_back(torch::tensor(ids).to(torch::kLong));
  return torch::stack(rows);
}

class TorchForward : public testing::TestWithParam<test::FamilyVariant> {};

TEST_P(TorchForward, AgreesWithTheCore) {
  const test::TemporaryDirectory directory;
  test::write_checkpoint(GetParam().checkpoint(), directory.path(), "F32");
  const Model model = Model::load(directory.path());
  const TrainableModel trainable(model, train_everything(torch::kCPU), torch::kCPU);
  const std::vector<std::vector<std::int32_t>> sequences{test::some_tokens(37, 67),
                                                         test::some_tokens(37, 67, 1)};
  const Matrix expected = test::logits_of(model, sequences);
  TorchOperations operations(trainable, ids_of(sequences));
  const Matrix logits = to_matrix(Forward(model.architecture(), operations).logits());
  ASSERT_EQ(logits.rows(), expected.rows());
  EXPECT_LT((logits - expected).cwiseAbs().maxCoeff(), 1e-4F * expected.cwiseAbs().maxCoeff());
}

// What is folded without a step of training is the checkpoint.
TEST_P(TorchForward, FoldsBackIntoTheCheckpoint) {
  const test::TemporaryDirectory directory;
  test::write_checkpoint(GetParam().checkpoint(), directory.path(), "BF16");
  const Model model = Model::load(directory.path());
  for (const TrainingChoice& choice : {train_everything(torch::kCPU), train_nothing(torch::kCPU)}) {
    const auto stored = TrainableModel(model, choice, torch::kCPU).fold(DType::bf16).tensors();
    std::set<std::string> names;
    for (const NamedTensor& named : stored) {
      names.insert(named.name);
      const Tensor before = model.checkpoint().tensor(named.name);
      EXPECT_EQ(named.tensor.shape(), before.shape()) << named.name;
      EXPECT_TRUE(std::ranges::equal(named.tensor.bytes(), before.bytes())) << named.name;
    }
    EXPECT_EQ(names.size(), stored.size());
    for (const std::string& name : model.checkpoint().names()) {
      EXPECT_TRUE(names.contains(name)) << name;
    }
  }
}

TEST_P(TorchForward, EveryParameterHasAGradient) {
  const test::TemporaryDirectory directory;
  test::write_checkpoint(GetParam().checkpoint(), directory.path(), "F32");
  const Model model = Model::load(directory.path());
  const TrainableModel trainable(model, train_everything(torch::kCPU), torch::kCPU);
  TorchOperations operations(trainable, ids_of({test::some_tokens(40, 67)}));
  Forward(model.architecture(), operations).logits().square().mean().backward();
  for (const Parameter& parameter : trainable.parameters()) {
    ASSERT_TRUE(parameter.value.grad().defined()) << parameter.name;
    // Keys' biases move all scores of a query alike.
    if (parameter.name.ends_with("k_proj.bias")) continue;
    EXPECT_GT(parameter.value.grad().abs().max().item<float>(), 0.0F) << parameter.name;
  }
}

INSTANTIATE_TEST_SUITE_P(, TorchForward, testing::ValuesIn(test::dense_family_variants()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace terse::train
