#include "terse/train/train_run.h"

#include <fmt/format.h>

#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "terse/core/digest.h"
#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/formats/terse_config.h"
#include "terse/model/initial_weights.h"
#include "terse/model/storage_config.h"
#include "terse/model/weights/shared.h"
#include "terse/recipe/identity.h"
#include "terse/train/device.h"
#include "terse/train/loop/trainer.h"
#include "terse/train/loop/training_text.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRun = "run.json";
constexpr const char* kMetrics = "training.jsonl";

Json to_json(const TrainingSettings& s) {
  return {{"max_steps", s.max_steps},
          {"num_train_epochs", s.num_train_epochs},
          {"window", s.window},
          {"batch_size", s.batch_size},
          {"gradient_accumulation_steps", s.gradient_accumulation_steps},
          {"learning_rate", s.learning_rate},
          {"lr_scheduler_type", s.lr_scheduler_type},
          {"warmup_steps", s.warmup_steps},
          {"decay_share", s.decay_share},
          {"min_lr_rate", s.min_lr_rate},
          {"weight_decay", s.weight_decay},
          {"adam_beta1", s.adam_beta1},
          {"adam_beta2", s.adam_beta2},
          {"adam_epsilon", s.adam_epsilon},
          {"max_grad_norm", s.max_grad_norm},
          {"seed", s.seed},
          {"eval_steps", s.eval_steps},
          {"gradient_checkpointing", s.gradient_checkpointing},
          {"loss_rows", s.loss_rows},
          {"device", s.device}};
}

class TrainingRun {
 public:
  TrainingRun(const TrainingTask& task, Progress& progress)
      : task_(task),
        settings_(task.settings),
        progress_(progress),
        device_(parse_device(settings_.device)) {}

  TrainingReport run() {
    prepare_threads();
    if (!task_.text.given()) throw bad_usage("nothing to learn from: give --text or --tokens");
    if (task_.from_scratch) {
      config_ = read_json(task_.input / "config.json");
    } else {
      base_.emplace(Checkpoint::open(task_.input));
      config_ = base_->config();
    }
    const Architecture a = parse_architecture(config_);
    require_no_experts(a, "training");
    settings_.window = training_window(settings_.window, a);
    const Json identity = identify();
    const std::string digest = digest_of(identity);
    if (!task_.restart && finish_commit(task_.output, digest)) return finished_report();
    writer_.emplace(task_.output, CheckpointWriterOptions{
                                      .force = task_.force, .resume = true, .input = task_.input});
    open_folder(identity);
    train(a);
    write_output(digest);
    return report_;
  }

 private:
  fs::path work() { return writer_->staging_directory().work(); }

  Json identify() const {
    const Checkpoint* base = base_ ? &*base_ : nullptr;
    Json model = base != nullptr ? model_identity(*base)
                                 : Json{{"config.json", file_digest(task_.input / "config.json")}};
    return {{"program", program_identity()},
            {"model", std::move(model)},
            {"text", text_identity(task_.text.texts, task_.text.token_file, task_.input)},
            {"validation",
             text_identity(task_.validation.texts, task_.validation.token_file, task_.input)},
            {"settings", to_json(settings_)}};
  }

  // Of an output that an earlier process had trained, all but its name.
  TrainingReport finished_report() const {
    Json metrics = Json::array();
    std::ifstream lines(task_.output / kMetrics);
    for (std::string line; std::getline(lines, line);) metrics.push_back(parse_json(line));
    TrainingReport report = report_of(metrics);
    report.resumed_steps = report.steps;
    return report;
  }

  static std::string digest_of(const Json& identity) {
    Digest digest;
    digest.add(identity.dump());
    return digest.text();
  }

  void open_folder(const Json& identity) {
    StagingDirectory& staging = writer_->staging_directory();
    if (task_.restart) staging.clear();
    with_filesystem_errors([&] { fs::create_directories(work()); });
    const std::optional<Json> before = unfinished_run();
    if (before) {
      staging.keep();
      require_same_run(task_.output, {"program", "model", "text", "validation", "settings"},
                       *before, identity);
    } else {
      staging.clear();
      with_filesystem_errors([&] { fs::create_directories(work()); });
      write_file(work() / kRun, identity.dump());
    }
  }

  // A disk that lies may have torn what an earlier process wrote: it is of no run then.
  std::optional<Json> unfinished_run() {
    if (!fs::exists(work() / kRun)) return std::nullopt;
    try {
      return read_json(work() / kRun);
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  // Packs ids in a file of the run, which a run that goes on finds.
  PackedTokens tokens_of(const TrainingText& text, const std::string& name, const Architecture& a) {
    return packed_text(text, task_.input, a.vocab_size, settings_.window, work() / name);
  }

  fs::path initial_model(const Architecture& a) {
    const fs::path folder = work() / "initial";
    with_filesystem_errors([&] { fs::create_directories(folder); });
    write_file(folder / "config.json", config_.dump());
    const double deviation = get_number(config_, "initializer_range", 0.02);
    write_safetensors(folder / "model.safetensors", initial_weights(a, deviation, settings_.seed));
    return folder;
  }

  void train(const Architecture& a) {
    const PackedTokens text = tokens_of(task_.text, "text", a);
    std::optional<PackedTokens> validation;
    if (task_.validation.given()) validation = tokens_of(task_.validation, "validation", a);
    Model model =
        base_ ? Model(std::make_shared<const Checkpoint>(*base_)) : Model::open(initial_model(a));
    model.load_unprepared();
    dtype_ = base_
                 ? model.dtype()
                 : parse_dtype(get_string(config_, "torch_dtype", "float32")).value_or(DType::f32);
    TrainableModel trained(model, train_everything(device_), device_);
    const auto objective = language_modelling();
    Trainer trainer(trained, *objective, text, validation ? &*validation : nullptr, settings_,
                    work());
    follow(trainer);
    report_ = trainer.run(progress_);
    for (const Json& line : trainer.metrics()) metrics_ += line.dump() + "\n";
    last_ = trained.fold(dtype_);
    if (trainer.load_best()) best_ = trained.fold(dtype_);
  }

  void follow(Trainer& trainer) {
    trainer.on_first_copy = [this] { writer_->staging_directory().keep(); };
    trainer.on_step = [this](const StepMetrics& metrics) {
      if (task_.metrics.empty()) return;
      std::ofstream(task_.metrics, std::ios::app) << to_json(metrics).dump() << "\n";
    };
  }

  void write_output(const std::string& digest) {
    writer_->staging_directory().clear_output();
    copy_side_files(task_.input, writer_->staging());
    write_file(writer_->staging() / kMetrics, metrics_);
    if (best_) {
      CheckpointWriter best(writer_->staging() / "best");
      copy_side_files(task_.input, best.staging());
      write(best, *best_);
      best.finish(dense_config());
    }
    write(*writer_, last_);
    writer_->finish(dense_config(), digest);
  }

  static void write(CheckpointWriter& writer, const TrainableModel::Stored& stored) {
    for (const NamedTensor& named : stored.tensors()) writer.add(named.name, named.tensor);
  }

  // All weights were trained, so none is stored in another way any more, but that shared ones still
  // are.
  Json dense_config() const {
    Json config = config_;
    config.erase("quantization_config");
    TerseConfig ours = TerseConfig::of(config);
    std::erase_if(ours.groups,
                  [](const StorageGroup& group) { return group.layout != Shared::kLayout; });
    config.erase("terse_config");
    if (ours != TerseConfig()) config["terse_config"] = ours.to_json();
    config["torch_dtype"] = std::string(dtype_torch_name(dtype_));
    return config;
  }

  const TrainingTask& task_;
  TrainingSettings settings_;
  Progress& progress_;
  torch::Device device_;
  std::optional<Checkpoint> base_;
  Json config_;
  DType dtype_ = DType::f32;
  std::optional<CheckpointWriter> writer_;
  TrainableModel::Stored last_;
  std::optional<TrainableModel::Stored> best_;
  TrainingReport report_;
  std::string metrics_;
};

}  // namespace

TrainingReport run_training(const TrainingTask& task, Progress& progress) {
  return TrainingRun(task, progress).run();
}

}  // namespace terse::train
