// Products in fixed tiles against Eigen's, and the same bytes on any number of threads.
#include "terse/core/matrix_product.h"

#include <gtest/gtest.h>

#include "support/random_values.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

template <class T>
using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class T>
ProductFactor<T> factor(const RowMajor<T>& matrix, bool transposed) {
  return {matrix.data(), matrix.rows(), matrix.cols(), transposed};
}

template <class T>
void expect_products(double tolerance) {
  const int before = thread_count();
  for (const std::int64_t rows : {1, 130, 600}) {
    const RowMajor<T> a = test::random_values(rows, 33, 1).cast<T>();
    const RowMajor<T> b = test::random_values(33, 70, 2).cast<T>();
    const RowMajor<T> expected = a * b;
    for (const bool left : {false, true}) {
      for (const bool right : {false, true}) {
        const RowMajor<T> stored_a = left ? RowMajor<T>(a.transpose()) : a;
        const RowMajor<T> stored_b = right ? RowMajor<T>(b.transpose()) : b;
        RowMajor<T> first;
        for (const int threads : {1, 2, 3, 5}) {
          set_thread_count(threads);
          RowMajor<T> out(rows, 70);
          multiply_into<T>(out.data(), factor<T>(stored_a, left), factor<T>(stored_b, right));
          EXPECT_LT((out - expected).cwiseAbs().maxCoeff(), tolerance);
          if (threads == 1) first = out;
          EXPECT_EQ(out, first) << threads;
          multiply_into<T>(out.data(), factor<T>(stored_a, left), factor<T>(stored_b, right), true);
          EXPECT_LT((out - 2 * expected).cwiseAbs().maxCoeff(), 2 * tolerance);
        }
      }
    }
  }
  set_thread_count(before);
}

TEST(MatrixProducts, AgreeWithEigen) {
  expect_products<float>(1e-4);
  expect_products<double>(1e-12);
}

TEST(MatrixProducts, OfSymmetricResultsHaveTheirUpperTriangle) {
  for (const std::int64_t size : {1, 64, 700}) {
    const RowMajor<double> x = test::random_values(size, 20, 1).cast<double>();
    const RowMajor<double> expected = x * x.transpose();
    RowMajor<double> out = RowMajor<double>::Zero(size, size);
    multiply_upper<double>(out.data(), factor<double>(x, false), factor<double>(x, true));
    const RowMajor<double> difference = out - expected;
    for (std::int64_t row = 0; row < size; ++row) {
      EXPECT_LT(difference.row(row).tail(size - row).cwiseAbs().maxCoeff(), 1e-12);
    }
  }
}

TEST(MatrixProducts, OfPlainMatrices) {
  const Matrix a = test::random_values(5, 3, 1);
  const Matrix b = test::random_values(3, 4, 2);
  EXPECT_LT((product(a, b) - a * b).cwiseAbs().maxCoeff(), 1e-5F);
}

}  // namespace
}  // namespace terse
