#include "terse/methods/quantize/awq_clip.h"

#include <algorithm>

#include "terse/core/threads.h"
#include "terse/methods/output_error.h"
#include "terse/methods/quantize/nearest.h"
#include "terse/methods/quantize/scheme_options.h"

namespace terse {
namespace {

constexpr std::int64_t kRows = 128;

// The range shrinks in steps of a twentieth, ten of them at most.
constexpr int kSteps = 10;
constexpr float kStep = 1.0F / 20.0F;

// A group of some rows: rounded as rows with one grid each.
struct Tile {
  std::int64_t first_row;
  std::int64_t first_column;
  Matrix weight;
};

Matrix clipped(const Matrix& weight, const Vector& bounds) {
  Matrix result = weight;
  for (std::int64_t r = 0; r < weight.rows(); ++r) {
    result.row(r) = weight.row(r).cwiseMin(bounds[r]).cwiseMax(-bounds[r]);
  }
  return result;
}

void copy_row(const QuantizedMatrix& from, std::int64_t row, QuantizedMatrix& to) {
  const auto at = static_cast<std::size_t>(row);
  to.scales(row, 0) = from.scales(row, 0);
  to.zeros[at] = from.zeros[at];
  std::copy_n(from.codes.begin() + row * from.columns, from.columns,
              to.codes.begin() + row * to.columns);
}

QuantizedMatrix round_tile(const QuantizationScheme& scheme, const GridOptions& grid,
                           const Tile& tile, const SecondMoments& moments) {
  const Vector largest = tile.weight.cwiseAbs().rowwise().maxCoeff();
  QuantizedMatrix best;
  Eigen::VectorXd least;
  for (int step = 0; step < kSteps; ++step) {
    const float share = 1.0F - kStep * static_cast<float>(step);
    QuantizedMatrix found = round_to_nearest(scheme, grid, clipped(tile.weight, share * largest));
    const Eigen::VectorXd errors =
        squared_outputs(found.dense() - tile.weight, moments, tile.first_column);
    if (step == 0) {
      best = std::move(found);
      least = errors;
      continue;
    }
    for (std::int64_t r = 0; r < errors.size(); ++r) {
      if (!(errors[r] < least[r])) continue;
      least[r] = errors[r];
      copy_row(found, r, best);
    }
  }
  return best;
}

void place_tile(const Tile& tile, const QuantizedMatrix& found, QuantizedMatrix& result) {
  const std::int64_t groups = result.scales.cols();
  const std::int64_t group = tile.first_column / found.columns;
  for (std::int64_t r = 0; r < found.rows; ++r) {
    const std::int64_t row = tile.first_row + r;
    result.scales(row, group) = found.scales(r, 0);
    result.zeros[static_cast<std::size_t>(row * groups + group)] =
        found.zeros[static_cast<std::size_t>(r)];
    std::copy_n(found.codes.begin() + r * found.columns, found.columns,
                result.codes.begin() + row * result.columns + tile.first_column);
  }
}

}  // namespace

QuantizedMatrix round_with_clip_search(const QuantizationScheme& scheme, const GridOptions& grid,
                                       const Matrix& weight, const SecondMoments& moments) {
  QuantizedMatrix result = empty_result(scheme, weight.rows(), weight.cols());
  QuantizationScheme of_tile = scheme;
  of_tile.strategy = QuantizationStrategy::channel;
  const std::int64_t groups = result.scales.cols();
  const std::int64_t size = weight.cols() / groups;
  const std::int64_t tiles = (weight.rows() + kRows - 1) / kRows;
  parallel_for(tiles * groups, [&](std::int64_t index) {
    const std::int64_t row = index / groups * kRows;
    const std::int64_t column = index % groups * size;
    const std::int64_t count = std::min(kRows, weight.rows() - row);
    const Tile tile{row, column, weight.block(row, column, count, size)};
    place_tile(tile, round_tile(of_tile, grid, tile, moments), result);
  });
  return result;
}

}  // namespace terse
