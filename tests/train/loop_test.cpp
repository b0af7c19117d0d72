// The parts of the training loop: order of the text, learning rates, AdamW, recomputation.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <numeric>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/finite_difference.h"
#include "support/logits.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/train/loop/learning_rate.h"
#include "terse/train/loop/trainer.h"
#include "terse/train/loop/training_copy.h"

namespace terse::train {
namespace {

TEST(PackedTokens, CutsWindowsThatShareOneToken) {
  const test::TemporaryDirectory directory;
  for (const std::int64_t vocabulary : {100, 100000}) {
    std::vector<std::int32_t> ids(14);
    std::iota(ids.begin(), ids.end(), static_cast<std::int32_t>(vocabulary - 14));
    PackedTokens::pack(ids, vocabulary, directory / "ids");
    const PackedTokens tokens(directory / "ids", vocabulary, 4);
    ASSERT_EQ(tokens.windows(), 3);
    const TokenBatch batch = tokens.batch({2, 0}, torch::kCPU);
    const auto first = static_cast<std::int64_t>(ids[0]);
    EXPECT_TRUE(torch::equal(batch.ids,
                             torch::tensor({{8, 9, 10, 11}, {0, 1, 2, 3}}, torch::kLong) + first));
    EXPECT_TRUE(torch::equal(batch.targets,
                             torch::tensor({9, 10, 11, 12, 1, 2, 3, 4}, torch::kLong) + first));
    test::expect_error(ErrorKind::bad_input, "14 tokens, fewer than one window of 14",
                       [&] { PackedTokens(directory / "ids", vocabulary, 14); });
    test::expect_error(ErrorKind::bad_input, "outside the vocabulary", [&] {
      PackedTokens(directory / "ids", vocabulary - 2, 4).batch({2}, torch::kCPU);
    });
  }
}

TEST(ShuffledOrder, SeesEveryWindowOnceInEachEpochFromAnyPlace) {
  ShuffledOrder order(10, 7);
  const auto all = order.at(0, 30);
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::int64_t> part(all.begin() + 10 * epoch, all.begin() + 10 * (epoch + 1));
    std::ranges::sort(part);
    for (std::int64_t i = 0; i < 10; ++i) EXPECT_EQ(part[static_cast<std::size_t>(i)], i);
  }
  EXPECT_NE(std::vector(all.begin(), all.begin() + 10),
            std::vector(all.begin() + 10, all.begin() + 20));
  ShuffledOrder later(10, 7);
  EXPECT_EQ(later.at(13, 9), std::vector(all.begin() + 13, all.begin() + 22));
  EXPECT_NE(ShuffledOrder(10, 8).at(0, 10), std::vector(all.begin(), all.begin() + 10));
}

TEST(LearningRate, FollowsItsSchedule) {
  TrainingSettings settings;
  settings.learning_rate = 2;
  settings.warmup_steps = 4;
  settings.min_lr_rate = 0.1;
  settings.decay_share = 0.25;
  const auto at = [&](const char* schedule, std::int64_t step) {
    settings.lr_scheduler_type = schedule;
    return learning_rate(settings, step, 104);
  };
  for (const char* schedule : {"constant", "cosine", "wsd"}) {
    EXPECT_DOUBLE_EQ(at(schedule, 0), 0.5);
    EXPECT_DOUBLE_EQ(at(schedule, 3), 2.0);
    EXPECT_DOUBLE_EQ(at(schedule, 4), 2.0);
  }
  EXPECT_DOUBLE_EQ(at("constant", 103), 2.0);
  EXPECT_DOUBLE_EQ(at("cosine", 54), 1.1);
  EXPECT_NEAR(at("cosine", 104), 0.2, 1e-12);
  EXPECT_DOUBLE_EQ(at("wsd", 79), 2.0);
  EXPECT_NEAR(at("wsd", 104), 0.2, 1e-12);
  EXPECT_NEAR(at("wsd", 79 + 25 / 5), 2 * (1 - 0.9 * 0.2), 1e-12);
  settings.lr_scheduler_type = "linear";
  EXPECT_THROW(learning_rate(settings, 10, 104), Error);
}

// Ours beside libtorch's, on the same gradients.
TEST(AdamW, StepsAsLibtorchsDoes) {
  TrainingSettings settings;
  settings.weight_decay = 0.2;
  settings.max_grad_norm = 0;
  const torch::Tensor start = test::random_leaf({37, 5}, 1, torch::kFloat).detach();
  torch::Tensor ours = start.clone().requires_grad_();
  torch::Tensor theirs = start.clone().requires_grad_();
  AdamW optimizer({{"w", ours}}, settings);
  torch::optim::AdamW reference({theirs}, torch::optim::AdamWOptions(0.01)
                                              .betas({settings.adam_beta1, settings.adam_beta2})
                                              .eps(settings.adam_epsilon)
                                              .weight_decay(settings.weight_decay));
  for (std::uint64_t step = 0; step < 20; ++step) {
    const torch::Tensor grad = test::random_leaf({37, 5}, 10 + step, torch::kFloat).detach();
    ours.mutable_grad() = grad.clone();
    theirs.mutable_grad() = grad.clone();
    optimizer.step(0.01, optimizer.gradient_norm());
    reference.step();
  }
  EXPECT_LT((ours - theirs).abs().max().item<float>(), 1e-6F);
  EXPECT_GT((ours - start).abs().max().item<float>(), 0.05F);
}

TEST(AdamW, ClipsGradientsAndNamesWhatIsNotFinite) {
  TrainingSettings settings;
  settings.max_grad_norm = 1;
  torch::Tensor weight = torch::zeros({4}).requires_grad_();
  torch::Tensor small = torch::zeros({4}).requires_grad_();
  weight.mutable_grad() = torch::tensor({3.0F, 4.0F, 0.0F, 12.0F});
  small.mutable_grad() = torch::zeros({4});
  AdamW optimizer({{"first", weight}, {"second", small}}, settings);
  EXPECT_DOUBLE_EQ(optimizer.gradient_norm(), 13.0);
  optimizer.step(0.1, 13.0);
  for (const auto& [name, tensor] : optimizer.state()) {
    if (name != "m/first") continue;
    EXPECT_NEAR(tensor[3].item<double>(), 0.1 * 12 / 13, 1e-7);
  }
  small.mutable_grad() = torch::tensor({0.0F, NAN, 0.0F, 0.0F});
  test::expect_error(ErrorKind::failed, "the gradient of second is not finite",
                     [&] { static_cast<void>(optimizer.gradient_norm()); });
}

class SmallLlama : public testing::Test {
 protected:
  SmallLlama() {
    test::write_checkpoint(test::family_variant("llama_grouped"), directory_.path(), "F32");
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 12 * 16 + 1; ++i) ids.push_back((i * i + 5 * i) % 67);
    PackedTokens::pack(ids, 67, directory_ / "ids");
    settings_.window = 12;
    settings_.batch_size = 4;
    settings_.warmup_steps = 2;
  }

  TrainableModel model() const {
    return {Model::load(directory_.path()), train_everything(torch::kCPU), torch::kCPU};
  }
  PackedTokens tokens() const { return {directory_ / "ids", 67, 12}; }

  test::TemporaryDirectory directory_;
  TrainingSettings settings_;
};

TEST_F(SmallLlama, RecomputationAndChunksChangeNothing) {
  const auto grads = [&](bool recompute, std::int64_t rows) {
    settings_.gradient_checkpointing = recompute;
    settings_.loss_rows = rows;
    const TrainableModel trained = model();
    const auto objective = language_modelling();
    batch_loss(trained, tokens().batch({0, 3, 5}, torch::kCPU), *objective, settings_).backward();
    std::map<std::string, torch::Tensor> found;
    for (const Parameter& parameter : trained.parameters()) {
      found[parameter.name] = parameter.value.grad().clone();
    }
    return found;
  };
  const auto whole = grads(false, 1000);
  for (const auto& [name, grad] : grads(true, 7)) {
    EXPECT_LT((grad - whole.at(name)).abs().max().item<float>(),
              1e-5F * whole.at(name).abs().max().item<float>())
        << name;
  }
}

// Over-fitting a few windows: the loss must fall far below that of guessing.
TEST_F(SmallLlama, LearnsItsText) {
  settings_.max_steps = 60;
  settings_.learning_rate = 1e-2;
  TrainableModel trained = model();
  const auto objective = language_modelling();
  const PackedTokens text = tokens();
  Trainer trainer(trained, *objective, text, &text, settings_, directory_.path());
  std::vector<double> losses;
  trainer.on_step = [&](const StepMetrics& metrics) { losses.push_back(metrics.loss); };
  Progress silent;
  const TrainingReport report = trainer.run(silent);
  ASSERT_EQ(losses.size(), 60U);
  EXPECT_GT(losses.front(), 3.5);
  EXPECT_LT(losses.back(), 1.0);
  EXPECT_EQ(report.best_step, 60);
  EXPECT_LT(*report.validation_loss, 1.0);
}

// Stopped after some steps and begun again by a new trainer: the same weights to the last bit.
TEST_F(SmallLlama, GoesOnFromItsCopyWithTheSameBits) {
  settings_.max_steps = 20;
  settings_.save_steps = 3;
  settings_.eval_steps = 4;
  const auto objective = language_modelling();
  const PackedTokens text = tokens();
  const auto weights = [&](const std::filesystem::path& folder, std::vector<std::int64_t> stops) {
    std::filesystem::create_directories(folder);
    for (const std::int64_t stop : stops) {
      TrainableModel trained = model();
      Trainer trainer(trained, *objective, text, &text, settings_, folder);
      trainer.on_step = [&](const StepMetrics& metrics) {
        if (metrics.step == stop) throw failure("stopped");
      };
      Progress silent;
      EXPECT_THROW(trainer.run(silent), Error);
    }
    TrainableModel trained = model();
    Trainer trainer(trained, *objective, text, &text, settings_, folder);
    Progress silent;
    EXPECT_EQ(trainer.run(silent).resumed_steps, stops.empty() ? 0 : stops.back() / 3 * 3);
    std::string bytes;
    for (const NamedTensor& named : trained.fold(DType::f32).tensors()) {
      bytes.append(reinterpret_cast<const char*>(named.tensor.bytes().data()),
                   named.tensor.bytes().size());
    }
    return bytes + read_file(folder / "best-20.safetensors");
  };
  const std::string whole = weights(directory_ / "whole", {});
  EXPECT_TRUE(weights(directory_ / "stopped", {2, 7, 13}) == whole);
}

TEST_F(SmallLlama, RefusesTextShorterThanAStep) {
  settings_.batch_size = 20;
  TrainableModel trained = model();
  const auto objective = language_modelling();
  const PackedTokens text = tokens();
  test::expect_error(ErrorKind::bad_input, "16 windows of 12 tokens, fewer than a step of 20", [&] {
    Trainer(trained, *objective, text, nullptr, settings_, directory_.path());
  });
}

TEST_F(SmallLlama, StopsWhereTheLossIsNotFinite) {
  TrainableModel trained = model();
  {
    const torch::NoGradGuard no_grad;
    torch::Tensor weight = trained.parameters().front().value.detach();
    weight[3] = std::numeric_limits<float>::infinity();
  }
  const auto objective = language_modelling();
  const PackedTokens text = tokens();
  Trainer trainer(trained, *objective, text, nullptr, settings_, directory_.path());
  Progress silent;
  test::expect_error(ErrorKind::failed, "step 1: the loss is not finite",
                     [&] { trainer.run(silent); });
  EXPECT_FALSE(std::filesystem::exists(directory_ / "last.json"));
}

}  // namespace
}  // namespace terse::train
