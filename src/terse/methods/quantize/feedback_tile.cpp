#include "terse/methods/quantize/feedback_tile.h"

#include <cblas.h>

namespace terse {
namespace {

// No multiple of 256: the steps of a strip of rows would then lie in a quarter of the sets of a
// first-level cache.
constexpr std::int64_t kManyRows = 192;
constexpr std::int64_t kFewRows = 64;

std::int64_t whole_lanes(std::int64_t rows) {
  return (rows + kernels::kFeedbackLanes - 1) / kernels::kFeedbackLanes * kernels::kFeedbackLanes;
}

}  // namespace

std::int64_t feedback_tile_rows(std::int64_t rows) {
  return rows >= 4 * kManyRows ? kManyRows : kFewRows;
}

FeedbackTile::FeedbackTile(const Matrix& weight, const GptqHessian& hessian, Range rows,
                           std::int64_t segment)
    : hessian_(hessian),
      rows_(rows),
      lanes_(whole_lanes(rows.size())),
      columns_(weight.cols()),
      errors_(columns_, lanes_),
      running_(segment, lanes_) {
  load(weight);
}

// Until a step is taken, its row of `errors_` holds the weight.
void FeedbackTile::load(const Matrix& weight) {
  for_transposed({0, columns_}, [&](Range steps, Range lanes) {
    for (std::int64_t k = steps.begin; k < steps.end; ++k) {
      const float* from = weight.data() + rows_.begin * columns_ + column_of(k);
      for (std::int64_t r = lanes.begin; r < lanes.end; ++r) errors_(k, r) = from[r * columns_];
    }
  });
  errors_.rightCols(lanes_ - rows_.size()).setZero();
}

void FeedbackTile::begin_segment(Range segment) {
  segment_ = segment;
  running_.topRows(segment.size()) = errors_.middleRows(segment.begin, segment.size());
  feed_back({0, segment.begin}, segment);
}

void FeedbackTile::feed_back(Range from, Range to) {
  if (from.size() == 0) return;
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(to.size()),
              static_cast<int>(lanes_), static_cast<int>(from.size()), 1.0F,
              upper(from.begin, to.begin), upper_stride(), errors(from.begin),
              static_cast<int>(lanes_), 1.0F, running(to.begin), static_cast<int>(lanes_));
}

void FeedbackTile::compensate(Range group, Matrix& weights) {
  weights = running_.middleRows(group.begin - segment_.begin, group.size()) -
            errors_.middleRows(group.begin, group.size());
  cblas_strsm(CblasRowMajor, CblasLeft, CblasUpper, CblasTrans, CblasUnit,
              static_cast<int>(group.size()), static_cast<int>(lanes_), 1.0F,
              upper(group.begin, group.begin), upper_stride(), weights.data(),
              static_cast<int>(lanes_));
  weights += errors_.middleRows(group.begin, group.size());
}

void FeedbackTile::mask_zeros(Range block, std::vector<std::uint32_t>& mask) const {
  const float* weights = errors_.data() + block.begin * lanes_;
  mask.resize(static_cast<std::size_t>(block.size() * lanes_));
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = weights[i] == 0.0F ? ~0U : 0U;
}

void FeedbackTile::take(Range block, kernels::FeedbackBlock kernel) {
  const auto size = static_cast<std::size_t>(block.size());
  factors_.resize(size * size);
  for (std::size_t k = 0; k < size; ++k) {
    const std::int64_t step = block.begin + static_cast<std::int64_t>(k);
    for (std::size_t i = 0; i < k; ++i) {
      factors_[k * size + i] = *upper(block.begin + static_cast<std::int64_t>(i), step);
    }
  }
  kernel.steps = block.size();
  kernel.lanes = lanes_;
  kernel.factors = factors_.data();
  kernel.running = running(block.begin);
  kernel.errors = errors(block.begin);
  kernels::quantize_with_feedback(kernel);
}

TileCodes::TileCodes(const FeedbackTile& tile, std::int64_t running_group_size,
                     QuantizedMatrix& result)
    : tile_(tile),
      running_group_size_(running_group_size),
      result_(result),
      scales_(Matrix::Ones(result.scales.cols(), tile.lanes())),
      zeros_(Matrix::Zero(result.scales.cols(), tile.lanes())),
      codes_(static_cast<std::size_t>(tile.columns() * tile.lanes())) {
  if (running_group_size == 0) load_grids();
}

std::int64_t TileCodes::group_of_step(std::int64_t step) const {
  if (running_group_size_ > 0) return step / running_group_size_;
  return result_.group_of(tile_.column_of(step));
}

void TileCodes::load_grids() {
  const std::int64_t groups = result_.scales.cols();
  const bool whole = result_.scheme.strategy == QuantizationStrategy::tensor;
  for (std::int64_t r = 0; r < tile_.rows().size(); ++r) {
    const std::int64_t grid_row = whole ? 0 : tile_.rows().begin + r;
    for (std::int64_t g = 0; g < groups; ++g) {
      scales_(g, r) = result_.scales(grid_row, g);
      zeros_(g, r) = result_.zeros[static_cast<std::size_t>(grid_row * groups + g)];
    }
  }
}

void TileCodes::attach(Range block, kernels::FeedbackBlock& kernel) {
  const auto size = static_cast<std::size_t>(block.size());
  block_scales_.resize(size);
  block_zeros_.resize(size);
  for (std::size_t k = 0; k < size; ++k) {
    const std::int64_t group = group_of_step(block.begin + static_cast<std::int64_t>(k));
    block_scales_[k] = scales(group);
    block_zeros_[k] = zeros(group);
  }
  kernel.scales = block_scales_.data();
  kernel.zeros = block_zeros_.data();
  kernel.codes = codes_.data() + block.begin * tile_.lanes();
}

void TileCodes::store() const {
  const std::int64_t columns = tile_.columns();
  tile_.for_transposed({0, columns}, [&](Range steps, Range rows) {
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      std::uint8_t* row = result_.codes.data() + (tile_.rows().begin + r) * columns;
      for (std::int64_t k = steps.begin; k < steps.end; ++k) {
        row[tile_.column_of(k)] = codes_[static_cast<std::size_t>(k * tile_.lanes() + r)];
      }
    }
  });
  if (running_group_size_ > 0) store_grids();
}

void TileCodes::store_grids() const {
  const std::int64_t groups = result_.scales.cols();
  for (std::int64_t r = 0; r < tile_.rows().size(); ++r) {
    const std::int64_t row = tile_.rows().begin + r;
    for (std::int64_t g = 0; g < groups; ++g) {
      result_.scales(row, g) = scales_(g, r);
      result_.zeros[static_cast<std::size_t>(row * groups + g)] =
          static_cast<std::uint8_t>(zeros_(g, r));
    }
  }
}

}  // namespace terse
