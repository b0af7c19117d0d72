#include "terse/recipe/block_reconstructor.h"

#include <utility>

#include "terse/core/error.h"
#include "terse/methods/training.h"

namespace terse {

BlockReconstructor::BlockReconstructor(Model& model, Model reference, const Schedule& schedule,
                                       CalibrationStream& stream, const CalibrationTokens& tokens,
                                       std::uint64_t memory, const std::filesystem::path& directory,
                                       const OutputSettings& output, Progress& progress)
    : model_(model),
      schedule_(schedule),
      stream_(stream),
      reference_(std::move(reference), tokens, memory, directory),
      output_(output),
      progress_(progress) {}

BlockResult BlockReconstructor::compress(std::int64_t block) {
  reference_.enter(block);
  reference_.leave();
  const auto needs = [&](const StageInput& input) { return schedule_.statistics(block, input); };
  std::map<StageInput, InputStatistics> statistics = stream_.statistics(block, needs);
  std::vector<LinearInWork> works;
  for (const auto& [input, known] : statistics) {
    std::vector<LinearInWork> own = linears_in_work(model_, schedule_, block, input);
    apply_steps(own, &known);
    for (LinearInWork& work : own) works.push_back(std::move(work));
  }
  std::map<LinearKey, QuantizedMatrix> results;
  if (!works.empty()) results = reconstruct(block, works);
  BlockResult result;
  for (LinearInWork& work : works) {
    work.result = std::move(results.at(work.key));
    Linear& linear = model_.block(block).linears.at(work.key);
    const InputStatistics& inputs = statistics.at(work.key.input());
    replace_linear(model_, linear, std::move(work), output_, &inputs, result);
    with_context(linear.module, [&] { linear.weight->prepare(); });
  }
  progress_.advance(static_cast<std::int64_t>(model_.architecture().block_linears(block).size()));
  return result;
}

std::map<LinearKey, QuantizedMatrix> BlockReconstructor::reconstruct(
    std::int64_t block, const std::vector<LinearInWork>& works) {
  const RecipeStep& step = *schedule_.reconstruction();
  const MethodInfo& info = MethodRegistry::instance().find(step.method);
  const MethodOptions options = options_of(step);
  std::map<LinearKey, QuantizedMatrix> linears;
  for (const LinearInWork& work : works) {
    linears[work.key] = std::get<QuantizedMatrix>(work.result);
  }
  return training_module().reconstruct(
      {info, options, model_, block, std::move(linears), stream_.windows(),
       stream_.tokens() / stream_.windows(),
       [&](std::int64_t window) { return stream_.block_input(window); },
       [&](std::int64_t window) { return reference_.stream().block_input(window); }},
      progress_);
}

}  // namespace terse
