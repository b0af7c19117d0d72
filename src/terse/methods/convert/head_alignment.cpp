#include "terse/methods/convert/head_alignment.h"

#include <Eigen/SVD>
#include <cmath>

namespace terse {
namespace {

bool fused(const Architecture& a) {
  return a.linears.contains(LinearRole::qkv_proj);
}

// Of the query, key or value (0, 1, 2) of one head after another.
HeadPlaces interleaved(const Architecture& a, std::int64_t head, std::int64_t part) {
  return {LinearRole::qkv_proj, (3 * head + part) * a.head_dim};
}

}  // namespace

HeadPlaces query_place(const Architecture& a, std::int64_t /*block*/, std::int64_t head) {
  if (!fused(a)) return {LinearRole::q_proj, head * a.head_dim};
  if (a.fused_layout == FusedLayout::heads) return interleaved(a, head, 0);
  return {LinearRole::qkv_proj, head * a.head_dim};
}

HeadPlaces key_place(const Architecture& a, std::int64_t block, std::int64_t head) {
  if (!fused(a)) return {LinearRole::k_proj, head * a.head_dim};
  if (a.fused_layout == FusedLayout::heads) return interleaved(a, head, 1);
  return {LinearRole::qkv_proj, a.query_size(block) + head * a.head_dim};
}

HeadPlaces value_place(const Architecture& a, std::int64_t block, std::int64_t head) {
  if (!fused(a)) return {LinearRole::v_proj, head * a.head_dim};
  if (a.fused_layout == FusedLayout::heads) return interleaved(a, head, 2);
  return {LinearRole::qkv_proj, a.query_size(block) + a.key_size(block) + head * a.head_dim};
}

// max tr(R C) over orthogonal R: with C = U S V^T, R = V U^T.
Matrix procrustes_rotation(const Eigen::MatrixXd& cross) {
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(cross, Eigen::ComputeFullU | Eigen::ComputeFullV);
  return (svd.matrixV() * svd.matrixU().transpose()).cast<float>();
}

Matrix rotary_rotation(const Eigen::MatrixXd& cross, std::int64_t dimensions) {
  const std::int64_t d = cross.rows();
  const std::int64_t half = dimensions / 2;
  Matrix rotation = Matrix::Zero(d, d);
  for (std::int64_t i = 0; i < half; ++i) {
    const std::int64_t j = i + half;
    // tr(R C) for R = [cos, -sin; sin, cos] of the pair is largest at this angle.
    const double angle = std::atan2(cross(i, j) - cross(j, i), cross(i, i) + cross(j, j));
    rotation(i, i) = rotation(j, j) = static_cast<float>(std::cos(angle));
    rotation(i, j) = static_cast<float>(-std::sin(angle));
    rotation(j, i) = static_cast<float>(std::sin(angle));
  }
  const std::int64_t rest = d - dimensions;
  if (rest > 0) {
    rotation.bottomRightCorner(rest, rest) =
        procrustes_rotation(cross.bottomRightCorner(rest, rest));
  }
  return rotation;
}

}  // namespace terse
