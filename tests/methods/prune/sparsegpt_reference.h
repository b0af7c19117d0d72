// SparseGPT as its paper and published code state it, in double: along the upper Cholesky factor of
// the explicit inverse of the Hessian, one column at a time.
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "terse/core/tensor.h"

namespace terse::testing {

using MatrixXd = Eigen::MatrixXd;
using Mask = Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic>;

struct PruningReferenceOptions {
  double sparsity = 0.5;
  Eigen::Index zeros = 0;  ///< n of n:m
  Eigen::Index size = 0;   ///< m of n:m; 0: unstructured
  Eigen::Index block_size = 128;
  double percdamp = 0.01;
  int bits = 0;
  bool symmetric = false;
  Eigen::Index group_size = 0;  ///< Of the grids, which are fitted first; 0: one per row.
  /// When set, this is pruned rather than what the scores say.
  const Mask* mask = nullptr;
};

struct PruningReference {
  MatrixXd dense;
  Mask mask;
  /// With a given mask: the largest ratio, over all sets of weights that are compared with each
  /// other, of the largest score that is pruned to the smallest that is kept. At most 1 when the
  /// mask is what the scores say.
  double violation = 0.0;
};

class PruningReferenceSolver {
 public:
  PruningReferenceSolver(PruningReferenceOptions options, const Matrix& weight,
                         const Matrix& moments)
      : options_(options), w_(weight.cast<double>()) {
    MatrixXd h = moments.cast<double>();
    for (Eigen::Index i = 0; i < h.rows(); ++i) {
      if (h(i, i) != 0) continue;
      h(i, i) = 1;
      w_.col(i).setZero();
    }
    h.diagonal().array() += options.percdamp * h.diagonal().mean();
    const Eigen::LLT<MatrixXd> factor(h.inverse());
    upper_ = factor.matrixL().transpose();
    original_ = w_;
    result_.mask = Mask::Constant(w_.rows(), w_.cols(), false);
  }

  PruningReference run() {
    const Eigen::Index n = w_.cols();
    for (Eigen::Index c = 0; c < n; ++c) {
      if (options_.size == 0 && c % options_.block_size == 0) choose_block(c);
      if (options_.size > 0 && c % options_.size == 0) {
        for (Eigen::Index r = 0; r < w_.rows(); ++r)
          choose(r, r + 1, c, c + options_.size, options_.zeros);
      }
      for (Eigen::Index r = 0; r < w_.rows(); ++r) {
        const double q = result_.mask(r, c) ? 0.0 : rounded(r, c);
        const double error = (w_(r, c) - q) / upper_(c, c);
        w_.row(r).tail(n - c - 1) -= error * upper_.row(c).tail(n - c - 1);
        w_(r, c) = q;
      }
    }
    result_.dense = w_;
    return std::move(result_);
  }

 private:
  void choose_block(Eigen::Index begin) {
    const Eigen::Index end = std::min(begin + options_.block_size, w_.cols());
    const auto total = [&](Eigen::Index columns) {
      return std::llround(static_cast<double>(w_.rows() * columns) * options_.sparsity);
    };
    choose(0, w_.rows(), begin, end, total(end) - total(begin));
  }

  // Prunes `count` of the weights of a rectangle.
  void choose(Eigen::Index row, Eigen::Index row_end, Eigen::Index begin, Eigen::Index end,
              Eigen::Index count) {
    struct Scored {
      double score;
      Eigen::Index row;
      Eigen::Index column;
    };
    std::vector<Scored> scores;
    for (Eigen::Index c = begin; c < end; ++c) {
      for (Eigen::Index r = row; r < row_end; ++r) {
        const double root = w_(r, c) / upper_(c, c);
        scores.push_back({root * root, r, c});
      }
    }
    if (options_.mask == nullptr) {
      std::stable_sort(scores.begin(), scores.end(),
                       [](const Scored& a, const Scored& b) { return a.score < b.score; });
      for (Eigen::Index i = 0; i < count; ++i) {
        const Scored& pruned = scores[static_cast<std::size_t>(i)];
        result_.mask(pruned.row, pruned.column) = true;
      }
      return;
    }
    double largest_pruned = 0.0;
    double smallest_kept = std::numeric_limits<double>::infinity();
    for (const Scored& s : scores) {
      const bool pruned = (*options_.mask)(s.row, s.column);
      result_.mask(s.row, s.column) = pruned;
      if (pruned) largest_pruned = std::max(largest_pruned, s.score);
      if (!pruned) smallest_kept = std::min(smallest_kept, s.score);
    }
    result_.violation = std::max(result_.violation, largest_pruned / smallest_kept);
  }

  double rounded(Eigen::Index r, Eigen::Index c) const {
    if (options_.bits == 0) return w_(r, c);
    const Eigen::Index size = options_.group_size > 0 ? options_.group_size : w_.cols();
    const auto values = original_.row(r).segment(c / size * size, size);
    auto low = static_cast<float>(std::min(values.minCoeff(), 0.0));
    auto high = static_cast<float>(std::max(values.maxCoeff(), 0.0));
    const auto top = static_cast<float>((1 << options_.bits) - 1);
    if (options_.symmetric) {
      high = std::max(high, -low);
      low = -high;
    }
    const float scale = (high - low) / top;
    const double zero =
        options_.symmetric ? 1 << (options_.bits - 1) : std::nearbyint(-low / scale);
    const double code =
        std::clamp(std::nearbyint(w_(r, c) / scale) + zero, 0.0, static_cast<double>(top));
    return scale * (code - zero);
  }

  PruningReferenceOptions options_;
  MatrixXd w_;
  MatrixXd original_;
  MatrixXd upper_;
  PruningReference result_;
};

inline PruningReference reference_sparsegpt(const PruningReferenceOptions& options,
                                            const Matrix& weight, const Matrix& moments) {
  return PruningReferenceSolver(options, weight, moments).run();
}

}  // namespace terse::testing
