// A block whose heads or channels are to go: the linears that read them make up for it.
#pragma once

#include <cstdint>
#include <map>

#include "terse/methods/shape/compensation.h"
#include "terse/model/kept_units.h"
#include "terse/recipe/block_compressor.h"

namespace terse {

/// Leaves a block its shape: inputs of o_proj and down_proj that go are weighted with zeros.
class UnitCompensator : public BlockWorker {
 public:
  /// `model` has biases where the compensation adds them. All must outlive it.
  UnitCompensator(Model& model, const std::vector<KeptBlock>& kept, Compensation compensation,
                  CalibrationStream& stream, Progress& progress);

  BlockResult compress(std::int64_t block) override;

 private:
  void compensate_stage(const KeptBlock& kept, Stage stage, BlockResult& result);

  Model& model_;
  std::map<std::int64_t, KeptBlock> kept_;  // by block
  Compensation compensation_;
  CalibrationStream& stream_;
  Progress& progress_;
};

/// Linears of which a choice of units takes inputs.
std::set<LinearRole> cut_readers(const Architecture& a, const std::vector<KeptBlock>& kept);

}  // namespace terse
