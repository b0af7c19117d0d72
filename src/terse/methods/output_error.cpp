#include "terse/methods/output_error.h"

#include <cblas.h>

#include <algorithm>
#include <limits>

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
  const double whole =
      parallel_sum(weight.rows(), kRows, [&](std::int64_t first, std::int64_t count) {
        return squared_outputs(weight.middleRows(first, count), moments).sum();
      });
  const double lost =
      parallel_sum(weight.rows(), kRows, [&](std::int64_t first, std::int64_t count) {
        return squared_outputs(
                   weight.middleRows(first, count) - compressed.middleRows(first, count), moments)
            .sum();
      });
  if (lost <= 0.0) return 0.0;
  return whole > 0.0 ? lost / whole : std::numeric_limits<double>::infinity();
}

}  // namespace terse
