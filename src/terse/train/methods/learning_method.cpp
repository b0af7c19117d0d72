#include "terse/train/methods/learning_method.h"

#include <set>
#include <string>
#include <utility>

#include "terse/core/error.h"
#include "terse/model/weights/group_quantized.h"
#include "terse/model/weights/low_rank.h"
#include "terse/train/device.h"
#include "terse/train/loop/trainer.h"
#include "terse/train/loop/training_text.h"
#include "terse/train/parametrisations/dense.h"
#include "terse/train/parametrisations/fake_quantized.h"
#include "terse/train/parametrisations/low_rank.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

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

std::unique_ptr<Parametrisation> as_stored(const Weight& stored, bool pruned,
                                           const std::string& method, const torch::Device& device) {
  if (const auto* integers = dynamic_cast<const GroupQuantizedWeight*>(&stored)) {
    return fake_quantized_parametrisation(integers->quantized(), pruned, device);
  }
  if (const auto* product = dynamic_cast<const LowRank*>(&stored)) {
    return low_rank_parametrisation(as_stored(*product->a(), pruned, method, device),
                                    as_stored(*product->b(), pruned, method, device));
  }
  if (!stored.config().is_null() && !pruned) {
    throw bad_usage("is stored as {}, which {} does not train; let it come earlier", stored.kind(),
                    method);
  }
  const Matrix weight = stored.dense();
  return pruned ? masked_parametrisation(weight, device) : dense_parametrisation(weight, device);
}

}  // namespace

std::unique_ptr<Objective> LearningMethod::objective(const LearningProblem& /*problem*/,
                                                     const torch::Device& /*device*/) const {
  return language_modelling();
}

std::unique_ptr<Parametrisation> as_stored(const LearningProblem& problem, std::int64_t block,
                                           const LinearKey& key, const Linear& linear,
                                           const torch::Device& device) {
  if (!problem.chosen(block, key)) return fixed_parametrisation(linear.weight, device);
  return with_context(linear.module, [&] {
    return as_stored(*linear.weight, problem.pruned(block, key), problem.info.name, device);
  });
}

LearnedModel run_learning(const LearningProblem& problem, Progress& progress) {
  prepare_threads();
  TrainingSettings settings = training_settings(problem.options);
  const PackedTokens text =
      packed_text_of_step(problem.text, problem.model.checkpoint().dir(),
                          problem.model.architecture(), problem.window, problem.folder);
  settings.window = text.window();
  const torch::Device device = parse_device(settings.device);
  const LearningMethod& method = MethodTable<LearningMethod>::instance().find(problem.info.name);
  TrainableModel model(problem.model, method.choice(problem, device), device);
  const auto objective = method.objective(problem, device);
  Trainer trainer(model, *objective, text, nullptr, settings, problem.folder);
  trainer.on_first_copy = problem.kept;
  const TrainingReport report = trainer.run(progress);
  LearnedModel learned = what_changed(model, problem.model.dtype());
  learned.report = report;
  method.complete(problem, model, learned);
  return learned;
}

}  // namespace terse::train
