// The tridiagonal form of a symmetric matrix, on all threads.
#pragma once

#include <Eigen/Core>

namespace terse {

/// A = Q T Q^T, T tridiagonal and Q a product of reflections (Golub and Van Loan, Matrix
/// Computations, section 8.3.1; by panels as LAPACK's sytrd, whose form this has). Real is float or
/// double.
template <class Real>
class Tridiagonal {
 public:
  using Dense = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;
  using Column = Eigen::Matrix<Real, Eigen::Dynamic, 1>;

  /// Reads the lower triangle as Eigen stores it, column after column. The same bytes on any number
  /// of threads. Errors: failed with values that are not finite.
  explicit Tridiagonal(Dense symmetric);

  const Column& diagonal() const { return diagonal_; }  ///< [n]
  const Column& beside() const { return beside_; }      ///< [n - 1]

  /// Replaces each column x [n] by Q x.
  void turn_back(Eigen::Ref<Dense> columns) const;

 private:
  struct Panel;
  struct Block;

  void reflect(Panel& panel, std::int64_t i);
  Column times_rest(std::int64_t i) const;
  void update_rest(const Panel& panel);
  Block block(std::int64_t begin, std::int64_t end) const;

  std::int64_t size() const { return reflections_.rows(); }

  Dense reflections_;
  Column diagonal_;
  Column beside_;
  Column scales_;
};

}  // namespace terse
