// A few rows of a weight while errors are fed from column to column: what GPTQ and SparseGPT share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/kernels/feedback.h"
#include "terse/methods/quantize/gptq_hessian.h"

namespace terse {

/// A run of steps, or of rows.
struct Range {
  std::int64_t begin;
  std::int64_t end;
  std::int64_t size() const { return end - begin; }
};

/// Calls body(Range) for the pieces of `range`, each of `size` but the last.
template <class Body>
void for_pieces(Range range, std::int64_t size, const Body& body) {
  for (std::int64_t begin = range.begin; begin < range.end; begin += size) {
    body(Range{begin, std::min(begin + size, range.end)});
  }
}

/// Columns that one product brings up to date from all columns before them.
inline constexpr std::int64_t kFeedbackSegment = 512;

/// Rows that one thread takes at a time: many share the packing of U in a product, few share out
/// better over threads.
std::int64_t feedback_tile_rows(std::int64_t rows);

/// Rows of the weight, transposed, in the order of the steps: lane r of step k is row
/// first_row + r. Lanes beyond the last row are zeros. Single-threaded.
class FeedbackTile {
 public:
  /// `segment` is the largest segment, in steps.
  FeedbackTile(const Matrix& weight, const GptqHessian& hessian, Range rows, std::int64_t segment);

  Range rows() const { return rows_; }
  std::int64_t lanes() const { return lanes_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t column_of(std::int64_t step) const {
    return hessian_.order[static_cast<std::size_t>(step)];
  }

  /// Steps of which `running` holds the weights with errors fed back, which are [lanes] each: here
  /// those of all steps before the segment.
  void begin_segment(Range segment);
  float* running(std::int64_t step) { return running_.data() + (step - segment_.begin) * lanes_; }

  /// w of a step that is not taken, w - q of one that is: [lanes].
  float* errors(std::int64_t step) { return errors_.data() + step * lanes_; }

  /// running[to] += errors[from] U[from, to], transposed.
  void feed_back(Range from, Range to);

  /// The weights of group G [steps, lanes] that make up best for the errors before it, F, are
  /// W_G + E_F U_FG U_GG^-1: then the error in the coordinates of U vanishes on G. `running` holds
  /// W_G + E_F U_FG, and the inverse is a triangular solve.
  void compensate(Range group, Matrix& weights);

  /// Marks the weights of a block of steps that are zero: `mask` [steps, lanes] gets ~0 or 0.
  void mask_zeros(Range block, std::vector<std::uint32_t>& mask) const;

  /// Takes the steps of a block, which is up to date; `kernel` has what the caller chooses: grids,
  /// codes, mask, pattern.
  void take(Range block, kernels::FeedbackBlock kernel);

  /// Calls body(steps, rows) for pieces of `steps` and all rows, counted from the first of the
  /// tile, small enough that a transposition stays in the cache.
  template <class Body>
  void for_transposed(Range steps, const Body& body) const {
    for_pieces(steps, kTransposedSteps, [&](Range piece) {
      for_pieces({0, rows_.size()}, kTransposedRows, [&](Range rows) { body(piece, rows); });
    });
  }

 private:
  // Whole cache lines on either side.
  static constexpr std::int64_t kTransposedSteps = 64;
  static constexpr std::int64_t kTransposedRows = 8;

  const float* upper(std::int64_t i, std::int64_t k) const {
    return hessian_.unit_upper.data() + i * hessian_.unit_upper.cols() + k;
  }
  int upper_stride() const { return static_cast<int>(hessian_.unit_upper.cols()); }
  void load(const Matrix& weight);

  const GptqHessian& hessian_;
  Range rows_;
  std::int64_t lanes_;
  std::int64_t columns_;
  Range segment_{0, 0};
  Matrix errors_;   // [columns, lanes]
  Matrix running_;  // [segment, lanes]
  std::vector<float> factors_;
};

/// Grids and codes of a tile's rows, transposed as the tile is.
class TileCodes {
 public:
  /// With `running_group_size` 0 the grids are those of `result`; else each run of so many steps is
  /// a group whose grid is set later.
  TileCodes(const FeedbackTile& tile, std::int64_t running_group_size, QuantizedMatrix& result);

  /// Grid of a running group, for all lanes.
  float* scales(std::int64_t group) { return scales_.row(group).data(); }
  float* zeros(std::int64_t group) { return zeros_.row(group).data(); }

  /// Gives a kernel the grids and codes of a block of steps.
  void attach(Range block, kernels::FeedbackBlock& kernel);

  /// Codes of all steps, and grids of running groups, into the result.
  void store() const;

 private:
  void load_grids();
  void store_grids() const;
  std::int64_t group_of_step(std::int64_t step) const;

  const FeedbackTile& tile_;
  std::int64_t running_group_size_;
  QuantizedMatrix& result_;
  Matrix scales_;                    // [groups, lanes]
  Matrix zeros_;                     // [groups, lanes]
  std::vector<std::uint8_t> codes_;  // [columns, lanes]
  std::vector<const float*> block_scales_;
  std::vector<const float*> block_zeros_;
};

}  // namespace terse
