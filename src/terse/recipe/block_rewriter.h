// A block as a shape method rewrites it before it is cut.
#pragma once

#include <cstdint>

#include "terse/methods/shape_method.h"
#include "terse/recipe/block_compressor.h"

namespace terse {

/// Leaves a block its shape.
class BlockRewriter : public BlockWorker {
 public:
  /// `stream` is null where the method need not know the inputs. All must outlive it.
  BlockRewriter(Model& model, const ShapeMethod& method, CalibrationStream* stream,
                Progress& progress);

  BlockResult compress(std::int64_t block) override;

 private:
  Model& model_;
  const ShapeMethod& method_;
  CalibrationStream* stream_;
  Progress& progress_;
};

/// Adds a dense weight in the type that the checkpoint has, and its bias, to the tensors of a
/// block; the linear then holds what was stored.
void store_dense(const Model& model, const Matrix& weight, Linear& linear, BlockResult& result);

}  // namespace terse
