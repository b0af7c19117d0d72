#include "terse/recipe/block_rewriter.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

#include "terse/core/error.h"
#include "terse/model/weights/low_rank.h"
#include "terse/model/weights/shared.h"
#include "terse/model/weights/storage.h"

namespace terse {

void store_dense(const Model& model, const Matrix& weight, Linear& linear, BlockResult& result) {
  const std::string name = linear.module + ".weight";
  linear.weight = plain_weight(weight, model.stored_dtype(name), model.architecture().conv1d);
  std::ranges::move(linear.weight->tensors(linear.module), std::back_inserter(result.tensors));
  if (linear.bias.size() == 0) return;
  const std::string bias = linear.module + ".bias";
  const Tensor tensor = Tensor::from_vector(model.stored_dtype(bias), linear.bias);
  const std::vector<float> rounded = tensor.to_floats();
  std::ranges::copy(rounded, linear.bias.data());
  result.tensors.push_back({bias, tensor});
}

namespace {

// The factors of a difference alone; the report says where the rest is.
void store_shared(const Model& model, Linear& linear, BlockResult& result) {
  const auto& shared = dynamic_cast<const Shared&>(*linear.weight);
  const DType dtype = model.stored_dtype(linear.module + ".weight");
  std::shared_ptr<Weight> difference;
  if (const auto* factors = dynamic_cast<const LowRank*>(shared.difference().get())) {
    difference = std::make_shared<LowRank>(plain_weight(factors->a()->dense(), dtype),
                                           plain_weight(factors->b()->dense(), dtype));
  }
  linear.weight = std::make_shared<Shared>(
      shared.module(), plain_weight(shared.base()->dense(), dtype, model.architecture().conv1d),
      std::move(difference));
  std::ranges::move(linear.weight->tensors(linear.module), std::back_inserter(result.tensors));
  LinearReport report{linear.module, linear.weight->kind()};
  report.storage = linear.weight->config();
  result.linears.push_back(std::move(report));
}

}  // namespace

BlockRewriter::BlockRewriter(Model& model, const ShapeMethod& method, CalibrationStream* stream,
                             Progress& progress)
    : model_(model), method_(method), stream_(stream), progress_(progress) {}

BlockResult BlockRewriter::compress(std::int64_t index) {
  BlockResult result;
  Block& block = model_.block(index);
  std::map<LinearKey, std::shared_ptr<Weight>> before;
  for (const auto& [key, linear] : block.linears) before[key] = linear.weight;
  std::map<StageInput, InputStatistics> inputs;
  if (stream_ != nullptr) {
    inputs = stream_->statistics(index, [&](const StageInput&) { return *method_.rewriting(); });
  }
  const auto weight = [&](std::int64_t from, LinearRole role) {
    return model_.read_linear(from, role).weight->dense();
  };
  method_.rewrite(BlockView{index, model_.architecture(), block, inputs, weight}, block);
  for (auto& [key, linear] : block.linears) {
    if (linear.weight == before.at(key)) continue;
    if (dynamic_cast<const Shared*>(linear.weight.get()) != nullptr) {
      store_shared(model_, linear, result);
    } else {
      store_dense(model_, linear.weight->dense(), linear, result);
    }
    if (stream_ != nullptr) with_context(linear.module, [&] { linear.weight->prepare(); });
  }
  progress_.advance(1);
  return result;
}

}  // namespace terse
