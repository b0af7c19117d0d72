// GPTQ as its paper states it, in double: Algorithm 1 by explicit updates of the inverse Hessian
// (OBQ's equations 2 and 3 of the GPTQ paper), one column at a time.
#pragma once

#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "terse/core/tensor.h"

namespace terse::testing {

using MatrixXd = Eigen::MatrixXd;

struct ReferenceOptions {
  int bits = 4;
  bool symmetric = false;
  std::int64_t group_size = 0;  ///< 0: one grid per row; -1: one grid for everything.
  bool desc_act = false;
  bool static_groups = false;
  double percdamp = 0.01;
};

struct ReferenceResult {
  std::vector<int> codes;  ///< [rows, columns]
  MatrixXd dense;
};

struct ReferenceGrid {
  float scale;
  float zero;
};

// The grid of a run of values: the published formulas, in float.
inline ReferenceGrid reference_grid(const ReferenceOptions& options,
                                    const std::vector<double>& values) {
  float low = 0;
  float high = 0;
  for (const double value : values) {
    low = std::min(low, static_cast<float>(value));
    high = std::max(high, static_cast<float>(value));
  }
  const auto top = static_cast<float>((1 << options.bits) - 1);
  if (options.symmetric) {
    const float largest = std::max(-low, high);
    if (largest == 0) return {2 / top, static_cast<float>(1 << (options.bits - 1))};
    return {2 * largest / top, static_cast<float>(1 << (options.bits - 1))};
  }
  if (low == 0 && high == 0) {
    low = -1;
    high = 1;
  }
  const float scale = (high - low) / top;
  return {scale, std::nearbyint(-low / scale)};
}

inline ReferenceResult reference_gptq(const ReferenceOptions& options, const Matrix& weight,
                                      const Matrix& moments) {
  const auto n = weight.cols();
  const auto rows = weight.rows();
  MatrixXd w = weight.cast<double>();
  MatrixXd h = moments.cast<double>();
  for (Eigen::Index i = 0; i < n; ++i) {
    if (h(i, i) != 0) continue;
    h(i, i) = 1;
    w.col(i).setZero();
  }
  std::vector<Eigen::Index> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (options.desc_act) {
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return h(a, a) > h(b, b); });
  }
  h.diagonal().array() += options.percdamp * h.diagonal().mean();
  MatrixXd inverse = h.inverse();

  ReferenceResult result{std::vector<int>(static_cast<std::size_t>(rows * n)), MatrixXd(rows, n)};
  const MatrixXd original = w;
  std::vector<ReferenceGrid> grids(static_cast<std::size_t>(rows));
  const auto fit = [&](const MatrixXd& from, const std::vector<Eigen::Index>& columns) {
    for (Eigen::Index r = 0; r < rows; ++r) {
      std::vector<double> values;
      for (const auto c : columns) values.push_back(from(r, c));
      grids[static_cast<std::size_t>(r)] = reference_grid(options, values);
    }
  };
  if (options.group_size == 0) fit(original, order);
  if (options.group_size < 0) {
    std::vector<double> all(original.data(), original.data() + original.size());
    std::fill(grids.begin(), grids.end(), reference_grid(options, all));
  }
  for (Eigen::Index step = 0; step < n; ++step) {
    const auto c = order[static_cast<std::size_t>(step)];
    if (options.group_size > 0 && options.static_groups) {
      const auto first = c / options.group_size * options.group_size;
      std::vector<Eigen::Index> group(static_cast<std::size_t>(options.group_size));
      std::iota(group.begin(), group.end(), first);
      fit(original, group);
    } else if (options.group_size > 0 && step % options.group_size == 0) {
      fit(w, {order.begin() + step, order.begin() + step + options.group_size});
    }
    for (Eigen::Index r = 0; r < rows; ++r) {
      const ReferenceGrid grid = grids[static_cast<std::size_t>(r)];
      const double top = (1 << options.bits) - 1;
      const double code = std::clamp(std::nearbyint(w(r, c) / grid.scale) + grid.zero, 0.0, top);
      result.codes[static_cast<std::size_t>(r * n + c)] = static_cast<int>(code);
      result.dense(r, c) = grid.scale * (code - grid.zero);
      const double error = (w(r, c) - result.dense(r, c)) / inverse(c, c);
      w.row(r) -= error * inverse.row(c);
    }
    const Eigen::VectorXd column = inverse.col(c);
    inverse -= column * column.transpose() / column(c);
  }
  return result;
}

}  // namespace terse::testing
