#include "terse/train/methods/learning_method.h"

#include <map>
#include <string>
#include <utility>

#include "terse/core/error.h"
#include "terse/formats/npy.h"
#include "terse/formats/staging_directory.h"
#include "terse/model/weights/group_quantized.h"
#include "terse/tokenizer/text_encoder.h"
#include "terse/train/device.h"
#include "terse/train/loop/trainer.h"
#include "terse/train/parametrisations/dense.h"
#include "terse/train/parametrisations/fake_quantized.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

namespace fs = std::filesystem;

using Methods = std::map<std::string, std::unique_ptr<LearningMethod>, std::less<>>;

Methods& methods() {
  static Methods all;
  return all;
}

PackedTokens packed_text(const LearningProblem& problem, std::int64_t window) {
  const Architecture& a = problem.model.architecture();
  const fs::path path = problem.folder / "text";
  if (!PackedTokens::is_packed(path)) {
    const fs::path model = problem.model.checkpoint().dir();
    const auto ids = problem.text.token_file.empty()
                         ? encode_texts(TextEncoder::load(model),
                                        read_texts(problem.text.texts, problem.text.text_key))
                         : read_token_ids(problem.text.token_file, a.vocab_size).ids;
    PackedTokens::pack(ids, a.vocab_size, path);
  }
  return {path, a.vocab_size, window};
}

// Only what was trained: the rest stays as the steps before wrote it.
LearnedModel what_changed(const TrainableModel& model, DType dtype) {
  LearnedModel learned;
  TrainableModel::Stored stored = model.fold(dtype);
  std::set<std::string> trained;
  for (const Parameter& parameter : model.parameters()) trained.insert(parameter.name);
  const auto is_trained = [&](const std::string& module) {
    const auto found = trained.lower_bound(module + ".");
    return found != trained.end() && found->starts_with(module + ".") && *found != module + ".bias";
  };
  for (auto& [module, weight] : stored.weights) {
    if (is_trained(module)) learned.weights[module] = std::move(weight);
  }
  for (NamedTensor& vector : stored.vectors) {
    if (trained.contains(vector.name)) learned.vectors.push_back(std::move(vector));
  }
  return learned;
}

}  // namespace

std::unique_ptr<Objective> LearningMethod::objective(const LearningProblem& /*problem*/,
                                                     const torch::Device& /*device*/) const {
  return language_modelling();
}

void add_learning_method(std::string_view name, std::unique_ptr<LearningMethod> method) {
  methods()[std::string(name)] = std::move(method);
}

const LearningMethod& learning_method(std::string_view name) {
  const auto found = methods().find(name);
  if (found == methods().end()) throw failure("the training module does not hold {}", name);
  return *found->second;
}

std::unique_ptr<Parametrisation> as_stored(const LearningProblem& problem, std::int64_t block,
                                           LinearRole role, const Linear& linear,
                                           const torch::Device& device) {
  if (!problem.chosen(block, role)) return fixed_parametrisation(linear.weight, device);
  const bool pruned = problem.pruned(block, role);
  if (const auto* integers = dynamic_cast<const GroupQuantizedWeight*>(linear.weight.get())) {
    return with_context(linear.module, [&] {
      return fake_quantized_parametrisation(integers->quantized(), pruned, device);
    });
  }
  if (!linear.weight->config().is_null() && !pruned) {
    throw bad_usage("{}: is stored as {}, which {} does not train; let it come earlier",
                    linear.module, linear.weight->kind(), problem.info.name);
  }
  const Matrix weight = linear.weight->dense();
  return pruned ? masked_parametrisation(weight, device) : dense_parametrisation(weight, device);
}

LearnedModel run_learning(const LearningProblem& problem, Progress& progress) {
  prepare_threads();
  TrainingSettings settings = training_settings(problem.options);
  const Architecture& a = problem.model.architecture();
  settings.window = problem.window > 0 ? problem.window : a.default_window();
  if (settings.window > a.context_length()) {
    throw bad_usage("a training window of {} tokens does not fit the model's context of {}",
                    settings.window, a.context_length());
  }
  const torch::Device device = parse_device(settings.device);
  with_filesystem_errors([&] { fs::create_directories(problem.folder); });
  const PackedTokens text = packed_text(problem, settings.window);
  const LearningMethod& method = learning_method(problem.info.name);
  TrainableModel model(problem.model, method.choice(problem, device), device);
  const auto objective = method.objective(problem, device);
  Trainer trainer(model, *objective, text, nullptr, settings, problem.folder);
  trainer.on_first_copy = problem.kept;
  const TrainingReport report = trainer.run(progress);
  LearnedModel learned = what_changed(model, problem.model.dtype());
  learned.report = report;
  return learned;
}

}  // namespace terse::train
