// Rotations of heads, against what they undo.
#include "terse/methods/convert/head_alignment.h"

#include <gtest/gtest.h>

#include <Eigen/QR>
#include <cmath>

#include "methods/random_problems.h"

namespace terse {
namespace {

using testing::random_matrix;

Eigen::MatrixXd cross_of(const Matrix& a, const Matrix& b) {
  return a.cast<double>() * b.cast<double>().transpose();
}

Matrix random_rotation(std::int64_t size, std::uint64_t seed) {
  const Eigen::MatrixXf square = random_matrix(size, size, seed);
  return Eigen::HouseholderQR<Eigen::MatrixXf>(square).householderQ() *
         Eigen::MatrixXf::Identity(size, size);
}

Matrix turned_pairs(std::int64_t size, std::int64_t dimensions, std::uint64_t seed) {
  Matrix rotation = Matrix::Identity(size, size);
  Random random(seed);
  for (std::int64_t i = 0; i < dimensions / 2; ++i) {
    const auto angle = static_cast<float>(6.0 * random.uniform() - 3.0);
    const std::int64_t j = i + dimensions / 2;
    rotation(i, i) = rotation(j, j) = std::cos(angle);
    rotation(i, j) = -std::sin(angle);
    rotation(j, i) = std::sin(angle);
  }
  return rotation;
}

TEST(HeadAlignment, RotationsAreUndone) {
  const Matrix features = random_matrix(8, 50, 1);
  const Matrix rotation = random_rotation(8, 2);
  const Matrix found = procrustes_rotation(cross_of(rotation * features, features));
  EXPECT_LT((found * rotation - Matrix::Identity(8, 8)).norm(), 1e-5F);
}

TEST(HeadAlignment, AnglesOfPairsAreUndone) {
  const Matrix features = random_matrix(10, 50, 3);
  Matrix rotation = turned_pairs(10, 6, 4);
  rotation.bottomRightCorner(4, 4) = random_rotation(4, 5);
  const Matrix found = rotary_rotation(cross_of(rotation * features, features), 6);
  EXPECT_LT((found * rotation - Matrix::Identity(10, 10)).norm(), 1e-5F);
}

// No rotation of its kind, of many, brings unrelated features nearer.
TEST(HeadAlignment, NoOtherRotationIsNearer) {
  const Matrix a = random_matrix(6, 30, 7);
  const Matrix b = random_matrix(6, 30, 8);
  const Matrix free = procrustes_rotation(cross_of(a, b));
  const Matrix paired = rotary_rotation(cross_of(a, b), 6);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    EXPECT_LE((free * a - b).norm(), (random_rotation(6, seed) * a - b).norm() * 1.00001F);
    EXPECT_LE((paired * a - b).norm(), (turned_pairs(6, 6, seed) * a - b).norm() * 1.00001F);
  }
  EXPECT_LE((free * a - b).norm(), (paired * a - b).norm() * 1.00001F);
}

}  // namespace
}  // namespace terse
