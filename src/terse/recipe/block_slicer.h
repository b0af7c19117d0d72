// The residual stream of a block turned into its principal directions, and all but the first of
// these put to zero.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "terse/core/progress.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/calibration_stream.h"

namespace terse {

/// Directions [hidden, hidden] of a residual stream, the most important first, from the second
/// moments of its normed rows.
using Directions = std::function<Matrix(const SecondMoments& normed)>;

/// Leaves a block its shape: what goes is zero (model/narrowed.h takes it away). Sequential as in
/// SliceGPT (Ashkboos et al., arXiv 2401.15024, section 3.2 and appendix A.7): directions are found
/// of the stream as the sliced parts before leave it, after attention and after the MLP.
class BlockSlicer : public BlockWorker {
 public:
  /// `model` has shortcuts, and an embedding in the directions `first`. `rotation` reads what
  /// another process found behind a block. All must outlive it.
  BlockSlicer(Model& model, std::int64_t width, Directions directions, const Matrix& first,
              std::function<Matrix(std::int64_t block)> rotation, CalibrationStream& stream,
              Progress& progress);

  BlockResult compress(std::int64_t block) override;

 private:
  Matrix directions_of(const SecondMoments& normed) const;
  SecondMoments output_moments(std::int64_t block) const;
  void centre_outputs(std::int64_t block, Stage stage);
  void fuse_norm(std::int64_t block, NormRole norm, Stage stage);
  void turn_inputs(std::int64_t block, Stage stage, const Matrix& rotation);
  void turn_outputs(std::int64_t block, Stage stage, const Matrix& rotation);
  void set_shortcut(std::int64_t block, ShortcutRole role, const Matrix& weight);
  BlockResult store(std::int64_t block, const Matrix& after);

  Model& model_;
  bool centres_;  // the family's norms subtract means, those of the model do not
  std::int64_t width_;
  Directions directions_;
  Matrix before_;          // in which the stream enters the next block
  std::int64_t next_ = 0;  // that block
  std::function<Matrix(std::int64_t)> rotation_;
  CalibrationStream& stream_;
  Progress& progress_;
};

/// The first directions of a stream, zeros behind the first `width`.
Matrix sliced(Matrix directions, std::int64_t width);

/// Each row less its mean.
Matrix centred_rows(Matrix rows);

/// Each row by its root mean square.
Matrix normed_rows(Matrix rows);

}  // namespace terse
