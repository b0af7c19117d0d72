#include "terse/methods/output_error.h"

#include <cblas.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

constexpr std::int64_t kRows = 128;
constexpr std::int64_t kColumns = 512;

}  // namespace

// Of S the part on and above the diagonal is stored: the part above counts twice, a piece of
// columns at a time.
Eigen::VectorXd squared_outputs(const Matrix& rows, const SecondMoments& moments,
                                std::int64_t first) {
  const std::int64_t n = moments.columns();
  const auto stride = static_cast<int>(n);
  const auto count = static_cast<int>(rows.rows());
  const float* sums = moments.upper_sums().data() + first * n + first;
  Eigen::VectorXd total = Eigen::VectorXd::Zero(rows.rows());
  for (std::int64_t begin = 0; begin < rows.cols(); begin += kColumns) {
    const auto size = static_cast<int>(std::min(kColumns, rows.cols() - begin));
    const Matrix piece = rows.middleCols(begin, size);
    Matrix product(rows.rows(), size);
    cblas_ssymm(CblasRowMajor, CblasRight, CblasUpper, count, size, 1.0F, sums + begin * n + begin,
                stride, piece.data(), size, 0.0F, product.data(), size);
    if (begin > 0) {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, count, size, static_cast<int>(begin),
                  2.0F, rows.data(), static_cast<int>(rows.cols()), sums + begin, stride, 1.0F,
                  product.data(), size);
    }
    total += product.cast<double>().cwiseProduct(piece.cast<double>()).rowwise().sum();
  }
  return total;
}

double relative_output_error(const Matrix& weight, const Matrix& compressed,
                             const SecondMoments& moments) {
  if (weight.rows() != compressed.rows() || weight.cols() != compressed.cols() ||
      weight.cols() != moments.columns()) {
    throw failure("weights [{}, {}] and [{}, {}] and moments of {} inputs do not fit",
                  weight.rows(), weight.cols(), compressed.rows(), compressed.cols(),
                  moments.columns());
  }
  const std::int64_t tiles = (weight.rows() + kRows - 1) / kRows;
  std::vector<double> lost(static_cast<std::size_t>(tiles));
  std::vector<double> whole(static_cast<std::size_t>(tiles));
  parallel_for(tiles, [&](std::int64_t index) {
    const std::int64_t first = index * kRows;
    const std::int64_t count = std::min(kRows, weight.rows() - first);
    const Matrix rows = weight.middleRows(first, count);
    whole[static_cast<std::size_t>(index)] = squared_outputs(rows, moments).sum();
    lost[static_cast<std::size_t>(index)] =
        squared_outputs(rows - compressed.middleRows(first, count), moments).sum();
  });
  double lost_sum = 0.0;
  double whole_sum = 0.0;
  for (std::size_t i = 0; i < lost.size(); ++i) {
    lost_sum += lost[i];
    whole_sum += whole[i];
  }
  if (lost_sum <= 0.0) return 0.0;
  return whole_sum > 0.0 ? lost_sum / whole_sum : std::numeric_limits<double>::infinity();
}

}  // namespace terse
