// A block as a shape method rewrites it before it is cut.
#pragma once

#include <cstdint>

#include "terse/methods/shape_method.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/reference_stream.h"

namespace terse {

/// Leaves a block its shape.
class BlockRewriter : public BlockWorker {
 public:
  /// `stream` is null where the method need not know the inputs, `reference` (the model as it was)
  /// where it does not solve for outputs anew. All must outlive it.
  BlockRewriter(Model& model, const ShapeMethod& method, CalibrationStream* stream,
                ReferenceStream* reference, Progress& progress);

  BlockResult compress(std::int64_t block) override;

 private:
  void store(Linear& linear, BlockResult& result) const;
  void resolve_outputs(std::int64_t block, BlockResult& result);

  Model& model_;
  const ShapeMethod& method_;
  CalibrationStream* stream_;
  ReferenceStream* reference_;
  Progress& progress_;
};

/// Adds a dense weight in the type that the checkpoint has, and its bias, to the tensors of a
/// block; the linear then holds what was stored.
void store_dense(const Model& model, const Matrix& weight, Linear& linear, BlockResult& result);

}  // namespace terse
