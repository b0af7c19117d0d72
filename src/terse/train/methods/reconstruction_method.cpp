#include "terse/train/methods/reconstruction_method.h"

#include <algorithm>
#include <functional>
#include <span>

#include "terse/train/tensors.h"
#include "terse/train/torch_operations.h"

namespace terse::train {
namespace {

torch::Tensor rows_of(const std::function<Matrix(std::int64_t)>& source,
                      std::span<const std::int64_t> windows, const torch::Device& device) {
  std::vector<torch::Tensor> parts;
  for (const std::int64_t window : windows) parts.push_back(to_torch(source(window), device));
  return torch::cat(parts);
}

torch::Tensor outputs(const TrainableModel& model, std::int64_t block, std::int64_t window,
                      const torch::Tensor& inputs) {
  // Only their shape is read: where windows begin and end.
  const torch::Tensor ids = torch::zeros({inputs.size(0) / window, window}, torch::kLong);
  TorchOperations operations(model, ids.to(model.device()));
  return Forward(model.architecture(), operations).block(block, inputs);
}

}  // namespace

double add_block_error(const ReconstructionProblem& problem, const TrainableModel& block,
                       const std::vector<std::int64_t>& windows) {
  const auto together =
      static_cast<std::size_t>(std::max<std::int64_t>(1, kReconstructedRows / problem.window));
  const auto tokens = static_cast<double>(windows.size()) * static_cast<double>(problem.window);
  double sum = 0;
  for (std::size_t first = 0; first < windows.size(); first += together) {
    const auto some = std::span(windows).subspan(first, std::min(together, windows.size() - first));
    const torch::Tensor x = rows_of(problem.inputs, some, block.device());
    const torch::Tensor target = rows_of(problem.targets, some, block.device());
    const torch::Tensor error = outputs(block, problem.block, problem.window, x) - target;
    const torch::Tensor of_rows = error.square().sum(-1);
    // One after the other, so that the sum does not depend on the number of threads.
    const Vector errors = to_vector(of_rows.detach());
    for (const float value : errors) sum += value;
    (of_rows.sum() / tokens).backward();
  }
  return sum / tokens;
}

}  // namespace terse::train
