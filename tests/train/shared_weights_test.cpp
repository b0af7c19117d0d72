// Weights that blocks share have the gradients of all of them.
#include <gtest/gtest.h>

#include "support/family_variants.h"
#include "support/logits.h"
#include "support/temporary_directory.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/model/expanded.h"
#include "terse/model/shared_linears.h"
#include "terse/train/tensors.h"
#include "terse/train/torch_operations.h"

namespace terse::train {
namespace {

std::map<std::string, torch::Tensor> gradients(const Model& model) {
  const TrainableModel trainable(model, train_everything(torch::kCPU), torch::kCPU);
  const auto ids = torch::tensor(test::some_tokens(40, 67)).to(torch::kLong).unsqueeze(0);
  TorchOperations operations(trainable, ids);
  Forward(model.architecture(), operations).logits().square().mean().backward();
  std::map<std::string, torch::Tensor> all;
  for (const Parameter& parameter : trainable.parameters()) {
    EXPECT_TRUE(all.emplace(parameter.name, parameter.value.grad()).second) << parameter.name;
  }
  return all;
}

Model loaded(const Checkpoint& checkpoint) {
  Model model(std::make_shared<const Checkpoint>(checkpoint));
  model.load_all();
  return model;
}

class SharedGradients : public testing::TestWithParam<test::FamilyVariant> {};

TEST_P(SharedGradients, AreTheSumsOfThoseOfTheBlocks) {
  const test::TemporaryDirectory directory;
  test::write_checkpoint(GetParam().checkpoint(), directory.path(), "F32");
  const Model model = Model::open(directory.path());
  std::vector<SharedLinear> shared;
  for (const LinearRole role : model.architecture().roles(1)) shared.push_back({1, role, 0});
  const Checkpoint tied = share_linears(model, shared);
  const auto together = gradients(loaded(tied));
  const auto apart =
      gradients(loaded(expanded(Model(std::make_shared<const Checkpoint>(tied)), {})));
  EXPECT_EQ(together.size() + shared.size(), apart.size());
  for (const auto& [name, gradient] : together) {
    torch::Tensor expected = apart.at(name);
    for (const SharedLinear& each : shared) {
      if (name != model.linear_module(0, each.role) + ".weight") continue;
      expected = expected + apart.at(model.linear_module(1, each.role) + ".weight");
    }
    const float largest = expected.abs().max().item<float>();
    EXPECT_LE((gradient - expected).abs().max().item<float>(), 1e-5F * largest) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, SharedGradients,
                         testing::ValuesIn(test::dense_family_variants()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace terse::train
