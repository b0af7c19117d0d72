#include "terse/methods/quantize/gptq_hessian.h"

#include <algorithm>
#include <numeric>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/upper_factor.h"

namespace terse {
namespace {

// Rows are padded: rows a power of two apart would fall into the same cache sets.
constexpr std::int64_t kPadding = 16;
// Damping of `kLargestDamping` times the mean of the diagonal makes any moments definite.
constexpr double kLargestDamping = 1e3;
// Where damping starts to grow from when none was asked for.
constexpr double kPaperDamping = 0.01;

std::vector<double> live_diagonal(const SecondMoments& moments, std::vector<std::int64_t>& dead) {
  std::vector<double> diagonal(static_cast<std::size_t>(moments.columns()));
  for (std::int64_t i = 0; i < moments.columns(); ++i) {
    double value = moments.at(i, i);
    if (value == 0.0) {
      dead.push_back(i);
      value = 1.0;
    }
    diagonal[static_cast<std::size_t>(i)] = value;
  }
  return diagonal;
}

std::vector<std::int64_t> column_order(const std::vector<double>& diagonal, bool by_activation) {
  std::vector<std::int64_t> order(diagonal.size());
  std::iota(order.begin(), order.end(), 0);
  if (by_activation) {
    std::ranges::stable_sort(order, [&](std::int64_t a, std::int64_t b) {
      return diagonal[static_cast<std::size_t>(a)] > diagonal[static_cast<std::size_t>(b)];
    });
  }
  return order;
}

// The upper triangle of H with the given diagonal, rows and columns in the given order.
void gather_upper(const SecondMoments& moments, const std::vector<std::int64_t>& order,
                  const std::vector<double>& diagonal, double damping, Matrix& h) {
  const auto n = static_cast<std::int64_t>(order.size());
  parallel_for(n, [&](std::int64_t row) {
    const std::int64_t i = order[static_cast<std::size_t>(row)];
    float* out = h.data() + row * h.cols();
    for (std::int64_t column = row + 1; column < n; ++column) {
      out[column] = moments.at(i, order[static_cast<std::size_t>(column)]);
    }
    out[row] = static_cast<float>(diagonal[static_cast<std::size_t>(i)] + damping);
  });
}

// U = R D^(-1/2): every column divided by its element on the diagonal. Returns D^(1/2).
Vector make_unit(Matrix& r) {
  Vector roots = r.diagonal();
  const Vector inverse = roots.cwiseInverse();
  const std::int64_t n = r.rows();
  parallel_for(n, [&](std::int64_t i) {
    float* row = r.data() + i * r.cols();
    for (std::int64_t j = i + 1; j < n; ++j) row[j] *= inverse[j];
    row[i] = 1.0F;
  });
  return roots;
}

}  // namespace

GptqHessian factor_hessian(const SecondMoments& moments, double percdamp, bool by_activation) {
  if (moments.tokens() == 0) throw failure("no calibration input reached the linear");
  GptqHessian hessian;
  const std::vector<double> diagonal = live_diagonal(moments, hessian.dead);
  const double mean =
      std::accumulate(diagonal.begin(), diagonal.end(), 0.0) / static_cast<double>(diagonal.size());
  hessian.order = column_order(diagonal, by_activation);
  hessian.unit_upper.resize(moments.columns(), moments.columns() + kPadding);
  while (percdamp <= kLargestDamping) {
    gather_upper(moments, hessian.order, diagonal, percdamp * mean, hessian.unit_upper);
    if (factor_upper(hessian.unit_upper)) {
      hessian.roots = make_unit(hessian.unit_upper);
      return hessian;
    }
    percdamp = percdamp == 0.0 ? kPaperDamping : percdamp * 10.0;
  }
  throw failure("the second moments of the inputs cannot be factored at any damping");
}

}  // namespace terse
