// A model of whose residual stream channels are to go: every linear makes up for it.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/recipe/block_compressor.h"
#include "terse/recipe/reference_stream.h"

namespace terse {

/// Leaves a block its shape: what goes of the stream is zero. Each linear becomes what gives most
/// nearly that which it gave in the model as it was, on inputs that the linears before it give now.
class StreamCompensator : public BlockWorker {
 public:
  /// `kept` are the channels that stay, ascending; the embedding of `model` has zeros elsewhere.
  /// `reference` is the model as it was. All must outlive it.
  StreamCompensator(Model& model, std::vector<std::int64_t> kept, CalibrationStream& stream,
                    ReferenceStream& reference, Progress& progress);

  BlockResult compress(std::int64_t block) override;

 private:
  void solve_stage(std::int64_t block, Stage stage, BlockResult& result);
  void keep_outputs(Matrix& weight, Vector& bias) const;

  Model& model_;
  std::vector<std::int64_t> kept_;
  CalibrationStream& stream_;
  ReferenceStream& reference_;
  Progress& progress_;
};

}  // namespace terse
