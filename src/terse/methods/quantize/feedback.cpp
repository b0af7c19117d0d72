#include "terse/methods/quantize/feedback.h"

#include <cblas.h>

#include <algorithm>
#include <span>

#include "terse/core/threads.h"
#include "terse/kernels/feedback.h"

namespace terse {
namespace {

// Rows that one thread takes at a time: many share the packing of U in a product, few share out
// better over threads. No multiple of 256: the steps of a strip of rows would then lie in a quarter
// of the sets of a first-level cache.
constexpr std::int64_t kManyRows = 192;
constexpr std::int64_t kFewRows = 64;
// Columns that one product brings up to date from all columns before them.
constexpr std::int64_t kSegment = 512;
// A block of a transposition: whole cache lines on either side.
constexpr std::int64_t kTransposedSteps = 64;
constexpr std::int64_t kTransposedRows = 8;

std::int64_t rows_per_tile(std::int64_t rows) {
  return rows >= 4 * kManyRows ? kManyRows : kFewRows;
}

// A run of steps.
struct Range {
  std::int64_t begin;
  std::int64_t end;
  std::int64_t size() const { return end - begin; }
};

// Calls body(Range) for the pieces of `range`, each of `size` steps but the last.
template <class Body>
void for_pieces(Range range, std::int64_t size, const Body& body) {
  for (std::int64_t begin = range.begin; begin < range.end; begin += size) {
    body(Range{begin, std::min(begin + size, range.end)});
  }
}

// A few rows of the weight, transposed, in the order of the steps: lane r of step k is row
// first_row + r. Lanes beyond the last row are zeros.
class RowTile {
 public:
  RowTile(const FeedbackOptions& options, const Matrix& weight, const GptqHessian& hessian,
          std::int64_t first_row, std::int64_t rows, QuantizedMatrix& result)
      : options_(options),
        hessian_(hessian),
        result_(result),
        first_row_(first_row),
        rows_(rows),
        lanes_((rows + kernels::kFeedbackLanes - 1) / kernels::kFeedbackLanes *
               kernels::kFeedbackLanes),
        columns_(weight.cols()),
        errors_(columns_, lanes_),
        running_(segment_size(), lanes_),
        codes_(static_cast<std::size_t>(columns_ * lanes_)) {
    load_weight(weight);
    load_grids();
  }

  void quantize() {
    for_pieces({0, columns_}, segment_size(), [&](Range segment) {
      segment_ = segment;
      running_.topRows(segment.size()) = errors_.middleRows(segment.begin, segment.size());
      feed_back({0, segment.begin}, segment);
      const bool running_grids = options_.running_group_size > 0;
      const std::int64_t piece_size = running_grids ? options_.running_group_size : segment.size();
      for_pieces(segment, piece_size, [&](Range piece) {
        feed_back({segment.begin, piece.begin}, piece);
        if (running_grids) fit_running_grids(piece);
        for_pieces(piece, options_.block_size, [&](Range block) {
          feed_back({piece.begin, block.begin}, block);
          quantize_block(block);
        });
      });
    });
    store();
  }

 private:
  // Whole groups, so that a group's weights are brought up to date together.
  std::int64_t segment_size() const {
    const std::int64_t group = std::max<std::int64_t>(options_.running_group_size, 1);
    return std::min((kSegment + group - 1) / group * group, columns_);
  }

  std::int64_t group_of_step(std::int64_t step) const {
    if (options_.running_group_size > 0) return step / options_.running_group_size;
    return result_.group_of(hessian_.order[static_cast<std::size_t>(step)]);
  }

  const float* upper(std::int64_t i, std::int64_t k) const {
    return hessian_.unit_upper.data() + i * hessian_.unit_upper.cols() + k;
  }
  int upper_stride() const { return static_cast<int>(hessian_.unit_upper.cols()); }
  float* running(std::int64_t step) { return running_.data() + (step - segment_.begin) * lanes_; }
  float* errors(std::int64_t step) { return errors_.data() + step * lanes_; }

  // Until a step is taken, its row of `errors_` holds the weight.
  void load_weight(const Matrix& weight) {
    for_blocks([&](Range steps, Range lanes) {
      for (std::int64_t k = steps.begin; k < steps.end; ++k) {
        const std::int64_t column = hessian_.order[static_cast<std::size_t>(k)];
        const float* from = weight.data() + first_row_ * columns_ + column;
        for (std::int64_t r = lanes.begin; r < lanes.end; ++r) errors_(k, r) = from[r * columns_];
      }
    });
    errors_.rightCols(lanes_ - rows_).setZero();
  }

  // Calls body(steps, rows) for blocks small enough that a transposition stays in the cache.
  template <class Body>
  void for_blocks(const Body& body) const {
    for_pieces({0, columns_}, kTransposedSteps, [&](Range steps) {
      for_pieces({0, rows_}, kTransposedRows, [&](Range rows) { body(steps, rows); });
    });
  }

  void load_grids() {
    const std::int64_t groups = result_.scales.cols();
    scales_ = Matrix::Ones(groups, lanes_);
    zeros_ = Matrix::Zero(groups, lanes_);
    if (options_.running_group_size > 0) return;
    const bool whole = result_.scheme.strategy == QuantizationStrategy::tensor;
    for (std::int64_t r = 0; r < rows_; ++r) {
      const std::int64_t grid_row = whole ? 0 : first_row_ + r;
      for (std::int64_t g = 0; g < groups; ++g) {
        scales_(g, r) = result_.scales(grid_row, g);
        zeros_(g, r) = result_.zeros[static_cast<std::size_t>(grid_row * groups + g)];
      }
    }
  }

  // running[to] += errors[from] U[from, to], transposed.
  void feed_back(Range from, Range to) {
    if (from.size() == 0) return;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(to.size()),
                static_cast<int>(lanes_), static_cast<int>(from.size()), 1.0F,
                upper(from.begin, to.begin), upper_stride(), errors(from.begin),
                static_cast<int>(lanes_), 1.0F, running(to.begin), static_cast<int>(lanes_));
  }

  // The weights of group G that make up best for the errors before it, F, are
  // W_G + E_F U_FG U_GG^-1: then the error in the coordinates of U vanishes on G. `running` holds
  // W_G + E_F U_FG, and the inverse is a triangular solve.
  void fit_running_grids(Range group) {
    Matrix weights = running_.middleRows(group.begin - segment_.begin, group.size()) -
                     errors_.middleRows(group.begin, group.size());
    cblas_strsm(CblasRowMajor, CblasLeft, CblasUpper, CblasTrans, CblasUnit,
                static_cast<int>(group.size()), static_cast<int>(lanes_), 1.0F,
                upper(group.begin, group.begin), upper_stride(), weights.data(),
                static_cast<int>(lanes_));
    weights += errors_.middleRows(group.begin, group.size());
    const std::int64_t g = group_of_step(group.begin);
    fit_grids(options_.grid, weights.data(), lanes_, group.size(), lanes_, scales_.row(g).data(),
              zeros_.row(g).data());
  }

  void quantize_block(Range block) {
    const auto size = static_cast<std::size_t>(block.size());
    block_factors_.resize(size * size);
    block_scales_.resize(size);
    block_zeros_.resize(size);
    for (std::size_t k = 0; k < size; ++k) {
      const std::int64_t step = block.begin + static_cast<std::int64_t>(k);
      for (std::size_t i = 0; i < k; ++i) {
        block_factors_[k * size + i] = *upper(block.begin + static_cast<std::int64_t>(i), step);
      }
      block_scales_[k] = scales_.row(group_of_step(step)).data();
      block_zeros_[k] = zeros_.row(group_of_step(step)).data();
    }
    kernels::quantize_with_feedback({.steps = block.size(),
                                     .lanes = lanes_,
                                     .factors = block_factors_.data(),
                                     .scales = block_scales_.data(),
                                     .zeros = block_zeros_.data(),
                                     .top = options_.grid.top(),
                                     .running = running(block.begin),
                                     .errors = errors(block.begin),
                                     .codes = codes_.data() + block.begin * lanes_});
  }

  void store() {
    for_blocks([&](Range steps, Range rows) {
      for (std::int64_t r = rows.begin; r < rows.end; ++r) {
        std::uint8_t* row = result_.codes.data() + (first_row_ + r) * columns_;
        for (std::int64_t k = steps.begin; k < steps.end; ++k) {
          row[hessian_.order[static_cast<std::size_t>(k)]] =
              codes_[static_cast<std::size_t>(k * lanes_ + r)];
        }
      }
    });
    if (options_.running_group_size == 0) return;
    const std::int64_t groups = result_.scales.cols();
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t g = 0; g < groups; ++g) {
        result_.scales(first_row_ + r, g) = scales_(g, r);
        result_.zeros[static_cast<std::size_t>((first_row_ + r) * groups + g)] =
            static_cast<std::uint8_t>(zeros_(g, r));
      }
    }
  }

  const FeedbackOptions& options_;
  const GptqHessian& hessian_;
  QuantizedMatrix& result_;
  std::int64_t first_row_;
  std::int64_t rows_;
  std::int64_t lanes_;
  std::int64_t columns_;
  Range segment_{0, 0};
  Matrix errors_;                    // [columns, lanes]: w before a step, w - q after it
  Matrix running_;                   // [segment, lanes]: w plus the errors fed back so far
  Matrix scales_;                    // [groups, lanes]
  Matrix zeros_;                     // [groups, lanes]
  std::vector<std::uint8_t> codes_;  // [columns, lanes]
  std::vector<float> block_factors_;
  std::vector<const float*> block_scales_;
  std::vector<const float*> block_zeros_;
};

}  // namespace

void quantize_with_feedback(const FeedbackOptions& options, const Matrix& weight,
                            const GptqHessian& hessian, QuantizedMatrix& result) {
  const std::int64_t tile = rows_per_tile(weight.rows());
  parallel_for((weight.rows() + tile - 1) / tile, [&](std::int64_t index) {
    const std::int64_t first = index * tile;
    RowTile(options, weight, hessian, first, std::min(tile, weight.rows() - first), result)
        .quantize();
  });
}

}  // namespace terse
