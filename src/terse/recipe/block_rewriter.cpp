#include "terse/recipe/block_rewriter.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

#include "terse/core/error.h"
#include "terse/model/weights/storage.h"

namespace terse {

void store_dense(const Model& model, const Matrix& weight, Linear& linear, BlockResult& result) {
  const std::string name = linear.module + ".weight";
  linear.weight = plain_weight(weight, model.stored_dtype(name), model.architecture().conv1d);
  std::ranges::move(linear.weight->tensors(linear.module), std::back_inserter(result.tensors));
  if (linear.bias.size() == 0) return;
  const std::string bias = linear.module + ".bias";
  const Tensor tensor =
      Tensor::from_floats(model.stored_dtype(bias), {linear.bias.size()},
                          {linear.bias.data(), static_cast<std::size_t>(linear.bias.size())});
  const std::vector<float> rounded = tensor.to_floats();
  std::ranges::copy(rounded, linear.bias.data());
  result.tensors.push_back({bias, tensor});
}

BlockRewriter::BlockRewriter(Model& model, const ShapeMethod& method, CalibrationStream* stream,
                             Progress& progress)
    : model_(model), method_(method), stream_(stream), progress_(progress) {}

BlockResult BlockRewriter::compress(std::int64_t index) {
  BlockResult result;
  Block& block = model_.block(index);
  std::map<LinearRole, std::shared_ptr<Weight>> before;
  for (const auto& [role, linear] : block.linears) before[role] = linear.weight;
  std::map<Stage, InputStatistics> inputs;
  if (stream_ != nullptr) {
    inputs = stream_->statistics(index, [&](Stage) { return *method_.rewriting(); });
  }
  method_.rewrite(BlockView{index, model_.architecture(), block, inputs}, block);
  for (auto& [role, linear] : block.linears) {
    if (linear.weight == before.at(role)) continue;
    store_dense(model_, linear.weight->dense(), linear, result);
    if (stream_ != nullptr) with_context(linear.module, [&] { linear.weight->prepare(); });
  }
  progress_.advance(1);
  return result;
}

}  // namespace terse
