#include "terse/recipe/unit_compensator.h"

#include <utility>

#include "terse/core/error.h"
#include "terse/core/free_memory.h"
#include "terse/recipe/block_rewriter.h"

namespace terse {
namespace {

constexpr LinearRole kReaders[] = {LinearRole::o_proj, LinearRole::down_proj};

void store(const Model& model, Linear& linear, const Compensated& compensated,
           BlockResult& result) {
  if (compensated.bias.size() > 0) linear.bias += compensated.bias;
  store_dense(model, compensated.weight, linear, result);
  linear.weight->prepare();
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
    stream_.visit(kept.block, stage, [&](const StageInput&, ConstMatrixRef x) { inputs.add(x); });
    Linear& linear = model_.block(kept.block).linears.at(role);
    with_context(linear.module, [&] {
      store(model_, linear,
            compensate(linear.weight->dense(), *features.inputs, &inputs, compensation_), result);
    });
    release_free_memory();
  }
}

}  // namespace terse
