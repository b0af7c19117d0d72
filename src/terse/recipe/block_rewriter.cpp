#include "terse/recipe/block_rewriter.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/shape/compensation.h"
#include "terse/model/weights/dense.h"
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
                             ReferenceStream* reference, Progress& progress)
    : model_(model), method_(method), stream_(stream), reference_(reference), progress_(progress) {}

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
  const bool resolves = reference_ != nullptr && block.linears.contains(LinearRole::o_proj);
  for (auto& [key, linear] : block.linears) {
    const bool later = resolves && key.role == LinearRole::o_proj;
    if (linear.weight != before.at(key) && !later) store(linear, result);
  }
  if (resolves) resolve_outputs(index, result);
  progress_.advance(1);
  return result;
}

void BlockRewriter::store(Linear& linear, BlockResult& result) const {
  if (dynamic_cast<const Shared*>(linear.weight.get()) != nullptr) {
    store_shared(model_, linear, result);
  } else {
    store_dense(model_, linear.weight->dense(), linear, result);
  }
  if (stream_ != nullptr) with_context(linear.module, [&] { linear.weight->prepare(); });
}

// What the block now gives o_proj beside what the model as it was gives its own.
void BlockRewriter::resolve_outputs(std::int64_t block, BlockResult& result) {
  constexpr Stage kStage = Stage::attention_output;
  Linear& linear = model_.block(block).linears.at(LinearRole::o_proj);
  InputStatistics inputs(model_.architecture().in_features(block, kStage),
                         {.second_moments = true, .shift = true});
  reference_->enter(block);
  stream_->visit_beside(reference_->stream(), block, kStage,
                        [&](const Matrix& x, const Matrix& before) { inputs.add(x, before); });
  const Matrix before =
      reference_->model().block(block).linears.at(LinearRole::o_proj).weight->dense();
  linear.weight =
      std::make_shared<DenseWeight>(resolved(before, linear.weight->dense(), inputs), DType::f32);
  store(linear, result);
  reference_->leave();
}

}  // namespace terse
