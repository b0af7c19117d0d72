// Key-value heads turned towards one another, so that their mean loses least. What attention puts
// out is the same before and after: queries and o_proj turn with them.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/methods/second_moments.h"
#include "terse/model/model.h"

namespace terse {

/// Rows of q, k and v that heads of a block have, and columns of o_proj, whatever the layout: where
/// the linear is fused these are rows of the one weight.
struct HeadPlaces {
  LinearRole linear;   ///< That holds the rows.
  std::int64_t first;  ///< Row of the head's first feature.
};

HeadPlaces query_place(const Architecture& a, std::int64_t block, std::int64_t head);
HeadPlaces key_place(const Architecture& a, std::int64_t block, std::int64_t head);
HeadPlaces value_place(const Architecture& a, std::int64_t block, std::int64_t head);

/// The rotation R [d, d] that brings R A nearest to B, where only C = A M B^T [d, d] is known: the
/// orthogonal Procrustes problem (Schoenemann 1966) for rows as features.
Matrix procrustes_rotation(const Eigen::MatrixXd& cross);

/// The same among rotations that rotary positions commute with: one angle for each pair of features
/// (i, i + dimensions / 2); features beyond `dimensions` turn freely.
Matrix rotary_rotation(const Eigen::MatrixXd& cross, std::int64_t dimensions);

}  // namespace terse
