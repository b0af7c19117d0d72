#include "terse/recipe/unit_compensator.h"

#include <iterator>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/free_memory.h"
#include "terse/model/weights/storage.h"

namespace terse {
namespace {

constexpr LinearRole kReaders[] = {LinearRole::o_proj, LinearRole::down_proj};

void append(std::vector<NamedTensor>& all, std::vector<NamedTensor> more) {
  std::move(more.begin(), more.end(), std::back_inserter(all));
}

void store(const Model& model, Linear& linear, Compensated compensated, BlockResult& result) {
  const std::string name = linear.module + ".weight";
  linear.weight =
      plain_weight(compensated.weight, model.stored_dtype(name), model.architecture().conv1d);
  append(result.tensors, linear.weight->tensors(linear.module));
  linear.weight->prepare();
  if (compensated.bias.size() == 0) return;
  const std::string bias = linear.module + ".bias";
  linear.bias += compensated.bias;
  const Tensor tensor =
      Tensor::from_floats(model.stored_dtype(bias), {linear.bias.size()},
                          {linear.bias.data(), static_cast<std::size_t>(linear.bias.size())});
  const std::vector<float> rounded = tensor.to_floats();
  std::ranges::copy(rounded, linear.bias.data());
  result.tensors.push_back({bias, tensor});
}

}  // namespace

std::set<LinearRole> cut_readers(const Architecture& a, const std::vector<KeptBlock>& kept) {
  std::set<LinearRole> cut;
  for (const KeptBlock& block : kept) {
    for (const LinearRole role : kReaders) {
      const KeptFeatures features = kept_features(a, role, block);
      if (features.inputs && !features.inputs->empty()) cut.insert(role);
    }
  }
  return cut;
}

UnitCompensator::UnitCompensator(Model& model, const std::vector<KeptBlock>& kept,
                                 Compensation compensation, CalibrationStream& stream,
                                 Progress& progress)
    : model_(model), compensation_(compensation), stream_(stream), progress_(progress) {
  for (const KeptBlock& block : kept) kept_.emplace(block.block, block);
}

BlockResult UnitCompensator::compress(std::int64_t block) {
  BlockResult result;
  const auto kept = kept_.find(block);
  if (kept != kept_.end()) {
    for (const LinearRole role : kReaders) compensate_stage(kept->second, stage_of(role), result);
  }
  progress_.advance(1);
  return result;
}

void UnitCompensator::compensate_stage(const KeptBlock& kept, Stage stage, BlockResult& result) {
  const Architecture& a = model_.architecture();
  for (const LinearRole role : a.roles(kept.block, stage)) {
    const KeptFeatures features = kept_features(a, role, kept);
    if (!features.inputs || features.inputs->empty()) continue;
    InputStatistics inputs(a.in_features(kept.block, stage), statistics_of(compensation_));
    stream_.visit(kept.block, stage, [&](const Matrix& x) { inputs.add(x); });
    Linear& linear = model_.block(kept.block).linears.at(role);
    with_context(linear.module, [&] {
      store(model_, linear,
            compensate(linear.weight->dense(), *features.inputs, &inputs, compensation_), result);
    });
    release_free_memory();
  }
}

}  // namespace terse
