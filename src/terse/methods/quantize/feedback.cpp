#include "terse/methods/quantize/feedback.h"

#include <algorithm>

#include "terse/core/threads.h"
#include "terse/methods/quantize/feedback_tile.h"

namespace terse {
namespace {

// The steps of the rows of one tile.
class QuantizedTile {
 public:
  QuantizedTile(const FeedbackOptions& options, const Matrix& weight, const GptqHessian& hessian,
                Range rows, QuantizedMatrix& result)
      : options_(options),
        tile_(weight, hessian, rows, segment_size(weight.cols())),
        codes_(tile_, options.running_group_size, result) {}

  void quantize() {
    for_pieces({0, tile_.columns()}, segment_size(tile_.columns()), [&](Range segment) {
      tile_.begin_segment(segment);
      const bool running_grids = options_.running_group_size > 0;
      const std::int64_t piece_size = running_grids ? options_.running_group_size : segment.size();
      for_pieces(segment, piece_size, [&](Range piece) {
        tile_.feed_back({segment.begin, piece.begin}, piece);
        if (running_grids) fit_running_grids(piece);
        for_pieces(piece, options_.block_size, [&](Range block) {
          tile_.feed_back({piece.begin, block.begin}, block);
          quantize_block(block);
        });
      });
    });
    codes_.store();
  }

 private:
  // Whole groups, so that a group's weights are brought up to date together.
  std::int64_t segment_size(std::int64_t columns) const {
    const std::int64_t group = std::max<std::int64_t>(options_.running_group_size, 1);
    return std::min((kFeedbackSegment + group - 1) / group * group, columns);
  }

  void fit_running_grids(Range group) {
    Matrix weights;
    tile_.compensate(group, weights);
    // What stays zero has no part in the range.
    if (options_.keep_zeros) {
      const float* before = tile_.errors(group.begin);
      for (std::int64_t i = 0; i < weights.size(); ++i) {
        if (before[i] == 0.0F) weights.data()[i] = 0.0F;
      }
    }
    const std::int64_t g = group.begin / options_.running_group_size;
    fit_grids(options_.grid, weights.data(), tile_.lanes(), group.size(), tile_.lanes(),
              codes_.scales(g), codes_.zeros(g));
  }

  void quantize_block(Range block) {
    kernels::FeedbackBlock kernel{};
    kernel.top = options_.grid.top();
    codes_.attach(block, kernel);
    if (options_.keep_zeros) {
      tile_.mask_zeros(block, mask_);
      kernel.mask = mask_.data();
    }
    tile_.take(block, kernel);
  }

  const FeedbackOptions& options_;
  FeedbackTile tile_;
  TileCodes codes_;
  std::vector<std::uint32_t> mask_;
};

}  // namespace

void quantize_with_feedback(const FeedbackOptions& options, const Matrix& weight,
                            const GptqHessian& hessian, QuantizedMatrix& result) {
  const std::int64_t tile = feedback_tile_rows(weight.rows());
  parallel_tiles(weight.rows(), tile, [&](std::int64_t first, std::int64_t count) {
    QuantizedTile(options, weight, hessian, {first, first + count}, result).quantize();
  });
}

}  // namespace terse
