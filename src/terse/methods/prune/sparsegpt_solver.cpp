#include "terse/methods/prune/sparsegpt_solver.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "terse/core/threads.h"
#include "terse/methods/prune/smallest.h"
#include "terse/methods/quantize/feedback_tile.h"

namespace terse {
namespace {

// Columns between which errors are fed back one at a time.
constexpr std::int64_t kInnerBlock = 128;

// The rows of one tile; phases of a block are called in their order.
class PruningTile {
 public:
  // Without a `quantized` result the pruned rows go into `weight`.
  PruningTile(const SparseGptOptions& options, const GptqHessian& hessian, Range rows,
              std::int64_t segment, const Matrix& weight, Matrix* pruned,
              QuantizedMatrix* quantized)
      : options_(options),
        hessian_(hessian),
        pruned_(pruned),
        tile_(weight, hessian, rows, segment) {
    if (quantized == nullptr) return;
    codes_ = std::make_unique<TileCodes>(tile_, 0, *quantized);
    top_ = static_cast<float>(quantized->scheme.levels() - 1);
  }

  void begin_segment(Range segment) {
    segment_ = segment;
    tile_.begin_segment(segment);
  }

  // |v| D^1/2 of a block of steps, whose square orders as v^2 D does and may leave the range of
  // floats. Lanes without a row come last.
  std::span<const float> score(Range block) {
    tile_.feed_back({segment_.begin, block.begin}, block);
    tile_.compensate(block, scores_);
    const std::int64_t rows = tile_.rows().size();
    for (std::int64_t k = block.begin; k < block.end; ++k) {
      float* scores = scores_.row(k - block.begin).data();
      const float root = hessian_.roots[k];
      for (std::int64_t r = 0; r < rows; ++r) scores[r] = std::abs(scores[r]) * root;
      std::fill(scores + rows, scores + tile_.lanes(), std::numeric_limits<float>::quiet_NaN());
    }
    if (options_.keep_zeros) score_zeros(block);
    return {scores_.data(), static_cast<std::size_t>(scores_.size())};
  }

  // Takes the steps of a block that was scored; `smallest` are pruned.
  void prune(Range block, Smallest smallest) {
    set_mask(block, smallest);
    for_pieces(block, kInnerBlock, [&](Range piece) {
      tile_.feed_back({block.begin, piece.begin}, piece);
      kernels::FeedbackBlock kernel{};
      kernel.mask = mask_.data() + (piece.begin - block.begin) * tile_.lanes();
      take(piece, kernel);
    });
  }

  // Takes the steps of a piece of a segment; the pattern chooses what is pruned.
  void prune_pattern(Range piece) {
    tile_.feed_back({segment_.begin, piece.begin}, piece);
    kernels::FeedbackBlock kernel{};
    if (options_.keep_zeros) {
      tile_.mask_zeros(piece, mask_);
    } else {
      mask_.assign(static_cast<std::size_t>(piece.size() * tile_.lanes()), 0);
    }
    kernel.mask = mask_.data();
    kernel.pattern_zeros = options_.pruning.pattern->zeros;
    kernel.pattern_size = options_.pruning.pattern->size;
    kernel.roots = hessian_.roots.data() + piece.begin;
    take(piece, kernel);
  }

  void finish() const {
    if (codes_) codes_->store();
  }

 private:
  void score_zeros(Range block) {
    const float* weights = tile_.errors(block.begin);
    for (std::int64_t i = 0; i < scores_.size(); ++i) {
      float& score = scores_.data()[i];
      if (weights[i] == 0.0F && !std::isnan(score)) score = 0.0F;
    }
  }

  void set_mask(Range block, Smallest smallest) {
    mask_.resize(static_cast<std::size_t>(scores_.size()));
    const std::span<const float> scores(scores_.data(), mask_.size());
    if (smallest.ties == 0) {
      for (std::size_t i = 0; i < mask_.size(); ++i) {
        mask_[i] = magnitude_bits(scores[i]) < smallest.threshold ? ~0U : 0U;
      }
    } else {
      std::ranges::fill(mask_, 0);
      for_smallest(scores, smallest, [&](std::size_t i) { mask_[i] = ~0U; });
    }
    if (!options_.keep_zeros) return;
    const float* weights = tile_.errors(block.begin);
    for (std::size_t i = 0; i < mask_.size(); ++i) {
      if (weights[i] == 0.0F) mask_[i] = ~0U;
    }
  }

  void take(Range block, kernels::FeedbackBlock& kernel) {
    kernel.top = top_;
    if (codes_) codes_->attach(block, kernel);
    tile_.take(block, kernel);
    if (!codes_) store_values(block);
  }

  void store_values(Range block) {
    const float* values = tile_.running(block.begin);
    const std::int64_t columns = pruned_->cols();
    tile_.for_transposed(block, [&](Range steps, Range rows) {
      for (std::int64_t r = rows.begin; r < rows.end; ++r) {
        float* row = pruned_->data() + (tile_.rows().begin + r) * columns;
        for (std::int64_t k = steps.begin; k < steps.end; ++k) {
          row[k] = values[(k - block.begin) * tile_.lanes() + r];
        }
      }
    });
  }

  const SparseGptOptions& options_;
  const GptqHessian& hessian_;
  Matrix* pruned_;
  FeedbackTile tile_;
  std::unique_ptr<TileCodes> codes_;
  float top_ = 0.0F;
  Range segment_{0, 0};
  Matrix scores_;                    // [block, lanes]
  std::vector<std::uint32_t> mask_;  // [block, lanes]
};

std::int64_t round_up(std::int64_t value, std::int64_t size) {
  return (value + size - 1) / size * size;
}

// The tiles of one weight.
class Solver {
 public:
  Solver(const SparseGptOptions& options, const GptqHessian& hessian, const Matrix& weight,
         Matrix* pruned, QuantizedMatrix* quantized)
      : options_(options),
        hessian_(hessian),
        weight_(weight),
        pruned_(pruned),
        quantized_(quantized),
        rows_(weight.rows()),
        columns_(weight.cols()),
        tile_rows_(feedback_tile_rows(rows_)) {}

  void run() { options_.pruning.pattern ? run_pattern() : run_blocks(); }

 private:
  std::int64_t tile_count() const { return (rows_ + tile_rows_ - 1) / tile_rows_; }

  std::unique_ptr<PruningTile> make_tile(std::int64_t index, std::int64_t segment) const {
    const std::int64_t first = index * tile_rows_;
    return std::make_unique<PruningTile>(options_, hessian_,
                                         Range{first, std::min(first + tile_rows_, rows_)}, segment,
                                         weight_, pruned_, quantized_);
  }

  // Rows choose by themselves: tile after tile.
  void run_pattern() const {
    const std::int64_t size = options_.pruning.pattern->size;
    const std::int64_t inner = kInnerBlock / size * size;
    const std::int64_t segment_size = std::min(round_up(kFeedbackSegment, inner), columns_);
    parallel_for(tile_count(), [&](std::int64_t index) {
      const auto tile = make_tile(index, segment_size);
      for_pieces({0, columns_}, segment_size, [&](Range segment) {
        tile->begin_segment(segment);
        for_pieces(segment, inner, [&](Range piece) { tile->prune_pattern(piece); });
      });
      tile->finish();
    });
  }

  // The threshold of a block is taken over all rows: block after block, all tiles at once.
  void run_blocks() {
    const std::int64_t block_size = std::min(options_.block_size, columns_);
    const std::int64_t segment_size = std::min(round_up(kFeedbackSegment, block_size), columns_);
    tiles_.resize(static_cast<std::size_t>(tile_count()));
    for_tiles(
        [&](std::size_t t) { tiles_[t] = make_tile(static_cast<std::int64_t>(t), segment_size); });
    for_pieces({0, columns_}, segment_size, [&](Range segment) {
      for_pieces(segment, block_size, [&](Range block) { prune_block(segment, block); });
    });
    for_tiles([&](std::size_t t) { tiles_[t]->finish(); });
  }

  void prune_block(Range segment, Range block) {
    std::vector<std::span<const float>> scores(tiles_.size());
    for_tiles([&](std::size_t t) {
      if (block.begin == segment.begin) tiles_[t]->begin_segment(segment);
      scores[t] = tiles_[t]->score(block);
    });
    // Rounded for all columns so far, so that the whole weight gets the number asked for.
    const double sparsity = options_.pruning.sparsity;
    const std::int64_t count =
        zero_count(rows_ * block.end, sparsity) - zero_count(rows_ * block.begin, sparsity);
    const std::vector<Smallest> smallest = find_smallest(scores, count);
    for_tiles([&](std::size_t t) { tiles_[t]->prune(block, smallest[t]); });
  }

  void for_tiles(const std::function<void(std::size_t)>& body) const {
    parallel_for(tile_count(), [&](std::int64_t t) { body(static_cast<std::size_t>(t)); });
  }

  const SparseGptOptions& options_;
  const GptqHessian& hessian_;
  const Matrix& weight_;
  Matrix* pruned_;
  QuantizedMatrix* quantized_;
  std::int64_t rows_;
  std::int64_t columns_;
  std::int64_t tile_rows_;
  std::vector<std::unique_ptr<PruningTile>> tiles_;
};

}  // namespace

// A tile reads its rows before it writes them.
void prune_with_feedback(const SparseGptOptions& options, const GptqHessian& hessian,
                         Matrix& weight) {
  Solver(options, hessian, weight, &weight, nullptr).run();
}

void prune_and_quantize(const SparseGptOptions& options, const GptqHessian& hessian,
                        const Matrix& weight, QuantizedMatrix& result) {
  Solver(options, hessian, weight, nullptr, &result).run();
}

}  // namespace terse
