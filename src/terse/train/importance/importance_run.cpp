#include "terse/train/importance/importance_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/version.h"
#include "terse/eval/scored_text.h"
#include "terse/formats/importance_file.h"
#include "terse/formats/staging_directory.h"
#include "terse/train/device.h"
#include "terse/train/importance/scored_weight.h"
#include "terse/train/loop/trainer.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

namespace fs = std::filesystem;

// What is found out at the end of a long run is found out before it.
void check_output(const ImportanceTask& task) {
  with_filesystem_errors([&] {
    const fs::path folder = fs::absolute(task.output).parent_path();
    if (!fs::is_directory(folder)) {
      throw bad_input("{}: no such directory; create it first", folder.string());
    }
    if (fs::exists(task.input) && fs::equivalent(folder, task.input)) {
      throw bad_usage("{}: the output lies in the model's directory; choose another place",
                      task.output.string());
    }
    if (fs::is_directory(task.output)) {
      throw bad_input("{}: is a directory; expected the name of a file", task.output.string());
    }
    if (fs::exists(task.output) && !task.force) {
      throw bad_input("{}: exists already; choose another output or use --force to replace it",
                      task.output.string());
    }
  });
}

// The values of a tensor in the memory of the processor, shared.
Tensor shared_tensor(const torch::Tensor& values) {
  const auto owner = std::make_shared<torch::Tensor>(values);
  const std::span<const float> floats(owner->data_ptr<float>(),
                                      static_cast<std::size_t>(owner->numel()));
  return {DType::f32, owner->sizes().vec(), std::as_bytes(floats), owner};
}

template <class Doubles>
Tensor vector_tensor(const Doubles& values) {
  const std::vector<float> floats(values.begin(), values.end());
  return Tensor::from_floats(DType::f32, {static_cast<std::int64_t>(floats.size())}, floats);
}

class ImportanceRun {
 public:
  ImportanceRun(const ImportanceTask& task, Progress& progress)
      : task_(task), progress_(progress), device_(parse_device(task.gradients.device)) {}

  ImportanceReport run() {
    prepare_threads();
    check_output(task_);
    Model model = Model::open(task_.input);
    require_no_experts(model.architecture(), "scoring importance");
    const Windows windows = read_windows({.texts = task_.text.texts,
                                          .text_key = task_.text.text_key,
                                          .token_file = task_.text.token_file,
                                          .window = task_.window,
                                          .samples = task_.samples},
                                         model);
    report_.windows = static_cast<std::int64_t>(windows.windows.size());
    report_.window = windows.windows.front().end - windows.windows.front().begin;
    remember_weights(model);
    score(scored_model(model), windows);
    write();
    return std::move(report_);
  }

 private:
  struct Scored {
    std::string module;
    std::shared_ptr<ScoreSums> sums;
  };

  // Scores are of the weights as they are now.
  void remember_weights(const Model& model) {
    const Architecture& a = model.architecture();
    const Checkpoint& checkpoint = model.checkpoint();
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      for (const LinearRole role : a.roles(block)) {
        const std::string module = model.linear_module(block, role);
        if (!checkpoint.contains(module + ".weight") ||
            !is_floating(checkpoint.tensor(module + ".weight").dtype())) {
          throw bad_input(
              "{}: {} is compressed already; score the model that this one was made from",
              task_.input.string(), module);
        }
        metadata_[importance_digest_key(module)] =
            weight_digest(checkpoint.tensor(module + ".weight"));
      }
    }
  }

  TrainableModel scored_model(Model& model) {
    model.load_unprepared();
    const Architecture& a = model.architecture();
    blocks_.resize(static_cast<std::size_t>(a.num_hidden_layers));
    const auto scored = [&](std::int64_t block, const LinearKey& key, const Linear& linear) {
      const std::int64_t heads = key == LinearRole::o_proj ? a.shape(block).num_attention_heads : 0;
      auto sums = std::make_shared<ScoreSums>(to_torch(linear.weight->dense(), device_), heads);
      blocks_[static_cast<std::size_t>(block)].push_back({linear.module, sums});
      return scored_weight(std::move(sums));
    };
    return {model, {scored, false, false}, device_};
  }

  // The empirical Fisher information takes the square of each window's gradient by itself.
  void score(const TrainableModel& model, const Windows& windows) {
    const auto objective = language_modelling();
    progress_.begin("scoring", report_.tokens(), "tokens");
    double sum = 0;
    for (std::size_t index = 0; index < windows.windows.size(); ++index) {
      with_context(fmt::format("window {}", index + 1), [&] {
        const TokenBatch batch = batch_of(windows.tokens(windows.windows[index]));
        const torch::Tensor loss = batch_loss(model, batch, *objective, task_.gradients);
        const double value = loss.item<double>();
        if (!std::isfinite(value)) throw failure("the loss is not finite; is the model damaged?");
        sum += value;
        loss.backward();
        require_finite();
      });
      progress_.advance(report_.window - 1);
      progress_.note(fmt::format("loss {:.4f}", sum / static_cast<double>(index + 1)));
    }
    progress_.end();
    report_.loss = sum / static_cast<double>(report_.windows);
  }

  TokenBatch batch_of(std::span<const std::int32_t> ids) const {
    const auto length = static_cast<std::int64_t>(ids.size());
    torch::Tensor tokens = torch::empty({length}, torch::kLong);
    std::copy(ids.begin(), ids.end(), tokens.data_ptr<std::int64_t>());
    tokens = tokens.to(device_);
    return {tokens.narrow(0, 0, length - 1).unsqueeze(0), tokens.narrow(0, 1, length - 1), {}};
  }

  void require_finite() const {
    for (const std::vector<Scored>& block : blocks_) {
      for (const Scored& scored : block) {
        if (scored.sums->finite()) continue;
        throw failure("the gradient of {}.weight is not finite", scored.module);
      }
    }
  }

  void write() {
    metadata_.emplace(kImportanceKey, kImportanceVersion);
    metadata_["program"] = fmt::format("terse {}", version());
    metadata_["windows"] = fmt::format("{}", report_.windows);
    metadata_["window"] = fmt::format("{}", report_.window);
    metadata_["loss"] = fmt::format("{:.6f}", report_.loss);
    SafetensorsWriter writer(task_.output, metadata_);
    for (const std::vector<Scored>& block : blocks_) {
      BlockImportance& report = report_.blocks.emplace_back();
      for (const Scored& scored : block) add(writer, scored, report);
    }
    for (const ImportanceScore score : kImportanceScores) {
      std::vector<double> blocks;
      for (const BlockImportance& block : report_.blocks) {
        blocks.push_back(score == ImportanceScore::fisher ? block.fisher : block.taylor);
      }
      writer.add(fmt::format("blocks.{}", score_name(score)), vector_tensor(blocks));
    }
    report_.bytes = writer.data_bytes();
    writer.commit();
    sync_directory(fs::absolute(task_.output).parent_path());
  }

  // Means over the windows; rows, columns and blocks are sums of them.
  void add(SafetensorsWriter& writer, const Scored& scored, BlockImportance& report) const {
    ScoreSums& sums = *scored.sums;
    for (const ImportanceScore score : kImportanceScores) {
      const bool fisher = score == ImportanceScore::fisher;
      const torch::Tensor sum = fisher ? sums.fisher() : sums.taylor();
      const torch::Tensor mean = sum.div_(static_cast<double>(report_.windows)).cpu();
      writer.add(importance_tensor(scored.module, "weight", score), shared_tensor(mean));
      const auto values =
          Eigen::Map<const Matrix>(mean.data_ptr<float>(), mean.size(0), mean.size(1))
              .cast<double>();
      const Eigen::VectorXd rows = values.rowwise().sum();
      const Eigen::VectorXd columns = values.colwise().sum();
      writer.add(importance_tensor(scored.module, "rows", score), vector_tensor(rows));
      writer.add(importance_tensor(scored.module, "columns", score), vector_tensor(columns));
      (fisher ? report.fisher : report.taylor) += rows.sum();
      std::vector<double> heads = fisher ? sums.head_fisher() : sums.head_taylor();
      if (heads.empty()) continue;
      for (double& head : heads) head /= static_cast<double>(report_.windows);
      writer.add(importance_tensor(scored.module, "heads", score), vector_tensor(heads));
      (fisher ? report.head_fisher : report.head_taylor) = std::move(heads);
    }
  }

  const ImportanceTask& task_;
  Progress& progress_;
  torch::Device device_;
  std::vector<std::vector<Scored>> blocks_;
  SafetensorsMetadata metadata_;
  ImportanceReport report_;
};

}  // namespace

ImportanceReport run_importance(const ImportanceTask& task, Progress& progress) {
  return ImportanceRun(task, progress).run();
}

}  // namespace terse::train
