// Importance scores against finite differences of the reference in double precision and against
// libtorch's gradients; the file; recipes that prune by it.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/finite_difference.h"
#include "support/logits.h"
#include "support/paths.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/core/threads.h"
#include "terse/eval/divergence.h"
#include "terse/formats/importance_file.h"
#include "terse/formats/npy.h"
#include "terse/recipe/compress.h"
#include "terse/train/importance/importance_run.h"
#include "terse/train/importance/score_sums.h"
#include "terse/train/tensors.h"
#include "terse/train/torch_operations.h"

namespace terse::train {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kWindow = 14;
constexpr std::int64_t kWindows = 3;

std::vector<std::int32_t> window_ids(std::int64_t index) {
  return test::some_tokens(kWindow, 67, index);
}

void write_windows(const fs::path& path) {
  Json rows = Json::array();
  for (std::int64_t i = 0; i < kWindows; ++i) rows.push_back(window_ids(i));
  write_file(path, rows.dump());
}

ImportanceTask task_of(const fs::path& model, const fs::path& output, const fs::path& ids) {
  ImportanceTask task;
  task.input = model;
  task.output = output;
  task.text.token_file = ids;
  return task;
}

ImportanceReport run(const ImportanceTask& task) {
  Progress silent;
  return run_importance(task, silent);
}

Matrix scores_of(const SafetensorsFile& file, const std::string& owner, std::string_view part,
                 ImportanceScore score) {
  return file.tensor(importance_tensor(owner, part, score)).to_matrix();
}

// The loss of a window by the reference: mean cross-entropy of every token but the first.
double reference_loss(const test::RandomCheckpoint& checkpoint, std::int64_t window) {
  const std::vector<std::int32_t> ids = window_ids(window);
  const auto logits =
      test::reference_logits(checkpoint.config, checkpoint.weights, {ids.begin(), ids.end()});
  double sum = 0;
  for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
    double total = 0;
    for (const double logit : logits[t]) total += std::exp(logit);
    sum += std::log(total) - logits[t][static_cast<std::size_t>(ids[t + 1])];
  }
  return sum / static_cast<double>(kWindow - 1);
}

struct Means {
  double square = 0;
  double absolute = 0;
};

// Means over the windows of the square and the absolute value of dL / ds at s = 1, where values of
// the checkpoint are multiplied by s.
Means differences(test::RandomCheckpoint checkpoint, const std::string& tensor,
                  const std::function<bool(std::size_t index)>& scaled) {
  constexpr double kStep = 1e-4;
  const auto scaled_loss = [&](double scale, std::int64_t window) {
    test::RandomCheckpoint changed = checkpoint;
    std::vector<double>& values = changed.weights.at(tensor).values;
    for (std::size_t i = 0; i < values.size(); ++i) values[i] *= scaled(i) ? scale : 1.0;
    return reference_loss(changed, window);
  };
  Means means;
  for (std::int64_t window = 0; window < kWindows; ++window) {
    const double slope =
        (scaled_loss(1 + kStep, window) - scaled_loss(1 - kStep, window)) / (2 * kStep);
    means.square += slope * slope / kWindows;
    means.absolute += std::abs(slope) / kWindows;
  }
  return means;
}

class ImportanceOfFamilies : public testing::TestWithParam<test::FamilyVariant> {
 protected:
  void SetUp() override {
    test::write_checkpoint(GetParam().checkpoint(), directory_.path(), "F32");
    write_windows(directory_ / "ids.json");
  }

  test::TemporaryDirectory directory_;
};

// Scaling one weight by s changes the loss by w g, scaling the columns of the attention output that
// read a head by the gate of the head.
TEST_P(ImportanceOfFamilies, AgreesWithFiniteDifferences) {
  const test::TemporaryDirectory output;
  run(task_of(directory_.path(), output / "scores", directory_ / "ids.json"));
  const SafetensorsFile file = SafetensorsFile::open(output / "scores");
  const Model model = Model::open(directory_.path());
  const Architecture& a = model.architecture();
  const test::RandomCheckpoint checkpoint = GetParam().checkpoint();
  for (const auto& [role, name] : a.linears) {
    const std::int64_t block = static_cast<std::int64_t>(role) % a.num_hidden_layers;
    const std::string module = model.linear_module(block, role);
    const auto& stored = checkpoint.weights.at(module + ".weight");
    const Matrix fisher = scores_of(file, module, "weight", ImportanceScore::fisher);
    const Matrix taylor = scores_of(file, module, "weight", ImportanceScore::taylor);
    const std::int64_t row = 3 % fisher.rows();
    const std::int64_t column = 5 % fisher.cols();
    const auto index = static_cast<std::size_t>(a.conv1d ? column * stored.shape[1] + row
                                                         : row * stored.shape[1] + column);
    const Means means =
        differences(checkpoint, module + ".weight", [&](std::size_t i) { return i == index; });
    const double weight = stored.values[index];
    EXPECT_NEAR(taylor(row, column), means.absolute, 1e-4 * means.absolute + 1e-8) << module;
    EXPECT_NEAR(weight * weight * fisher(row, column), means.square, 2e-4 * means.square + 1e-12)
        << module;
    if (role != LinearRole::o_proj) continue;
    const Matrix head_fisher = scores_of(file, module, "heads", ImportanceScore::fisher);
    const Matrix head_taylor = scores_of(file, module, "heads", ImportanceScore::taylor);
    ASSERT_EQ(head_taylor.size(), a.num_attention_heads);
    for (std::int64_t head = 0; head < a.num_attention_heads; ++head) {
      const Means gate = differences(checkpoint, module + ".weight", [&](std::size_t i) {
        const auto at = static_cast<std::int64_t>(i);
        return (a.conv1d ? at / stored.shape[1] : at % stored.shape[1]) / a.head_dim == head;
      });
      EXPECT_NEAR(head_taylor(0, head), gate.absolute, 1e-4 * gate.absolute + 1e-7) << module;
      EXPECT_NEAR(head_fisher(0, head), gate.square, 2e-4 * gate.square + 1e-10) << module;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ImportanceOfFamilies,
                         testing::ValuesIn(test::dense_family_variants()),
                         [](const auto& variant) { return variant.param.name; });

class Importance : public testing::Test {
 protected:
  Importance() {
    test::write_checkpoint(test::family_variant("llama_grouped"), directory_ / "model", "F32");
    write_windows(directory_ / "ids.json");
  }

  ImportanceTask task(const std::string& output = "scores") const {
    return task_of(directory_ / "model", directory_ / output, directory_ / "ids.json");
  }

  test::TemporaryDirectory directory_;
};

// Every weight, by libtorch's own operations: nothing of how scores are summed is shared.
TEST_F(Importance, EveryWeightHasTheScoreOfItsGradients) {
  const ImportanceReport report = run(task());
  const SafetensorsFile file = SafetensorsFile::open(directory_ / "scores");
  const TrainableModel model(Model::load(directory_ / "model"), train_everything(torch::kCPU),
                             torch::kCPU);
  std::map<std::string, torch::Tensor> fisher;
  std::map<std::string, torch::Tensor> taylor;
  double losses = 0;
  for (std::int64_t window = 0; window < kWindows; ++window) {
    const torch::Tensor ids = torch::tensor(window_ids(window)).to(torch::kLong);
    TorchOperations operations(model, ids.unsqueeze(0));
    const torch::Tensor logits = Forward(model.architecture(), operations).logits();
    const torch::Tensor loss = torch::nn::functional::cross_entropy(
        logits.narrow(0, 0, kWindow - 1), ids.narrow(0, 1, kWindow - 1));
    losses += loss.item<double>() / kWindows;
    for (const Parameter& parameter : model.parameters())
      parameter.value.mutable_grad() = torch::Tensor();
    loss.backward();
    for (const Parameter& parameter : model.parameters()) {
      const torch::Tensor grad = parameter.value.grad().to(torch::kDouble);
      fisher.try_emplace(parameter.name, torch::zeros_like(grad)).first->second +=
          grad.square() / kWindows;
      taylor.try_emplace(parameter.name, torch::zeros_like(grad)).first->second +=
          (grad * parameter.value.detach()).abs() / kWindows;
    }
  }
  EXPECT_NEAR(report.loss, losses, 1e-6);
  std::int64_t compared = 0;
  for (std::int64_t block = 0; block < model.architecture().num_hidden_layers; ++block) {
    double block_sums[2] = {};
    for (const auto& entry : model.block(block).linears) {
      const std::string& module = entry.second.module;
      for (const ImportanceScore score : kImportanceScores) {
        const bool is_fisher = score == ImportanceScore::fisher;
        const torch::Tensor expected = (is_fisher ? fisher : taylor).at(module + ".weight");
        const auto expect_scores = [&](std::string_view part, const torch::Tensor& values) {
          const Matrix found = scores_of(file, module, part, score);
          const torch::Tensor difference =
              to_torch(found, torch::kCPU).to(torch::kDouble).view_as(values) - values;
          EXPECT_LT(difference.abs().max().item<double>(), 2e-5 * values.max().item<double>())
              << module << " " << part;
        };
        expect_scores("weight", expected);
        expect_scores("rows", expected.sum(1));
        expect_scores("columns", expected.sum(0));
        block_sums[is_fisher ? 0 : 1] += expected.sum().item<double>();
      }
      ++compared;
    }
    const BlockImportance& own = report.blocks[static_cast<std::size_t>(block)];
    EXPECT_NEAR(own.fisher, block_sums[0], 1e-5 * block_sums[0]);
    EXPECT_NEAR(own.taylor, block_sums[1], 1e-5 * block_sums[1]);
    EXPECT_FLOAT_EQ(file.tensor("blocks.fisher").to_floats()[static_cast<std::size_t>(block)],
                    static_cast<float>(own.fisher));
    EXPECT_FLOAT_EQ(file.tensor("blocks.taylor").to_floats()[static_cast<std::size_t>(block)],
                    static_cast<float>(own.taylor));
  }
  EXPECT_EQ(compared, 2 * 7);
}

TEST_F(Importance, RecomputationAndChunksChangeNothing) {
  run(task());
  ImportanceTask other = task("other");
  other.gradients.gradient_checkpointing = true;
  other.gradients.loss_rows = 5;
  run(other);
  const SafetensorsFile whole = SafetensorsFile::open(directory_ / "scores");
  const SafetensorsFile parts = SafetensorsFile::open(directory_ / "other");
  EXPECT_EQ(whole.names(), parts.names());
  for (const std::string& name : whole.names()) {
    const Matrix expected = whole.tensor(name).to_matrix();
    EXPECT_LT((parts.tensor(name).to_matrix() - expected).cwiseAbs().maxCoeff(),
              1e-5F * expected.maxCoeff())
        << name;
  }
}

// Tiles against libtorch's operations in double precision, which other devices run.
TEST(ScoreSums, TilesAgreeWithTheWhole) {
  const torch::Tensor weight = test::random_leaf({150, 96}, 1).detach();
  ScoreSums tiles(weight.to(torch::kFloat), 4);
  ScoreSums whole(weight, 4);
  for (std::uint64_t sample = 0; sample < 3; ++sample) {
    const torch::Tensor grads = test::random_leaf({37, 150}, 10 + sample).detach();
    const torch::Tensor inputs = test::random_leaf({37, 96}, 20 + sample).detach();
    tiles.add(grads.to(torch::kFloat), inputs.to(torch::kFloat));
    whole.add(grads, inputs);
  }
  EXPECT_LT((tiles.fisher() - whole.fisher()).abs().max().item<double>(), 1e-2);
  EXPECT_LT(((tiles.fisher() - whole.fisher()) / (whole.fisher() + 1)).abs().max().item<double>(),
            1e-5);
  EXPECT_LT(((tiles.taylor() - whole.taylor()) / (whole.taylor() + 1)).abs().max().item<double>(),
            1e-5);
  for (std::size_t head = 0; head < 4; ++head) {
    EXPECT_NEAR(tiles.head_fisher()[head], whole.head_fisher()[head],
                1e-3 + 1e-4 * whole.head_fisher()[head]);
    EXPECT_NEAR(tiles.head_taylor()[head], whole.head_taylor()[head],
                1e-3 + 1e-4 * whole.head_taylor()[head]);
  }
  EXPECT_TRUE(tiles.finite());
  torch::Tensor broken = torch::ones({2, 150});
  broken[1][149] = NAN;
  tiles.add(broken, torch::ones({2, 96}));
  EXPECT_FALSE(tiles.finite());
}

TEST_F(Importance, RefusesWhatItCannotWrite) {
  const auto refused = [&](ImportanceTask wrong, ErrorKind kind, const std::string& says) {
    test::expect_error(kind, says, [&] { run(wrong); });
  };
  run(task());
  const std::string before = read_file(directory_ / "scores");
  refused(task(), ErrorKind::bad_input, "use --force");
  EXPECT_EQ(read_file(directory_ / "scores"), before);
  ImportanceTask again = task();
  again.force = true;
  run(again);
  EXPECT_EQ(read_file(directory_ / "scores"), before);
  refused(task("absent/scores"), ErrorKind::bad_input, "no such directory");
  refused(task("model/scores"), ErrorKind::usage, "in the model's directory");
  fs::create_directories(directory_ / "folder");
  refused(task("folder"), ErrorKind::bad_input, "is a directory");
}

TEST_F(Importance, RefusesWhatItCannotScore) {
  const auto refused = [&](const ImportanceTask& wrong, ErrorKind kind, const std::string& says) {
    test::expect_error(kind, says, [&] { run(wrong); });
    EXPECT_FALSE(fs::exists(wrong.output));
  };
  ImportanceTask nothing = task();
  nothing.text = {};
  refused(nothing, ErrorKind::usage, "give --text or --tokens");
  Progress silent;
  compress(directory_ / "model", directory_ / "packed",
           one_step_recipe("rtn", {{"strategy", "channel"}}), {}, silent);
  ImportanceTask packed = task();
  packed.input = directory_ / "packed";
  refused(packed, ErrorKind::bad_input, "compressed already");
  ImportanceTask longer = task();
  longer.window = 64;
  write_file(directory_ / "ids.json", Json(window_ids(0)).dump());
  refused(longer, ErrorKind::bad_input, "14 tokens, fewer than one window of 64");
}

TEST_F(Importance, StopsWhereTheLossIsNotFinite) {
  test::RandomCheckpoint broken = test::family_variant("llama_grouped");
  std::ranges::fill(broken.weights.at("model.norm.weight").values, 3e38);
  test::write_checkpoint(broken, directory_ / "model", "F32");
  test::expect_error(ErrorKind::failed, "window 1: the loss is not finite", [&] { run(task()); });
  EXPECT_FALSE(fs::exists(directory_ / "scores"));
}

class ImportanceOfDocsLlama : public testing::Test {
 protected:
  static fs::path model() { return test::source_path("models/docs-llama"); }

  ImportanceReport score(const std::string& output, std::int64_t samples) const {
    ImportanceTask task = task_of(model(), directory_ / output,
                                  test::source_path("tests/oracle/docs-llama/calibration_ids.npy"));
    task.samples = samples;
    return run(task);
  }

  // KL to the dense model on text that was neither scored nor trained on.
  double divergence_of(const std::string& method,
                       const std::map<std::string, std::string>& options) const {
    Recipe recipe = one_step_recipe(method, options);
    if (method == "taylor") recipe.importance = directory_ / "scores";
    Progress silent;
    compress(model(), directory_ / "pruned", recipe, {.force = true}, silent);
    const Model base = Model::load(model());
    const Model other = Model::load(directory_ / "pruned");
    Windows windows = cut_windows(
        read_token_ids(test::source_path("tests/oracle/docs-llama/test_ids.npy")).ids, 256);
    keep_spread(windows, 12);
    return divergence(base, other, windows, silent).kl.mean;
  }

  test::TemporaryDirectory directory_;
};

TEST_F(ImportanceOfDocsLlama, ThreadsDoNotChangeAByte) {
  const int before = thread_count();
  std::optional<std::string> first;
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    score("scores-" + std::to_string(threads), 2);
    const std::string bytes = read_file(directory_ / ("scores-" + std::to_string(threads)));
    if (!first) first = bytes;
    EXPECT_TRUE(bytes == *first) << threads;
  }
  set_thread_count(before);
  prepare_threads();
}

TEST_F(ImportanceOfDocsLlama, PruningByItKeepsMoreThanMagnitude) {
  score("scores", 32);
  for (const std::map<std::string, std::string>& options :
       {std::map<std::string, std::string>{{"sparsity", "0.5"}},
        std::map<std::string, std::string>{{"structure", "2:4"}}}) {
    const double magnitude = divergence_of("magnitude", options);
    for (const char* kind : {"taylor", "fisher"}) {
      auto given = options;
      given["score"] = kind;
      EXPECT_LT(divergence_of("taylor", given), 0.9 * magnitude) << kind;
    }
  }
}

}  // namespace
}  // namespace terse::train
