// The dominant subspace of a symmetric matrix by random directions.
#pragma once

#include <cstdint>
#include <optional>

#include <Eigen/Core>

#include "terse/methods/lowrank/whitening.h"

namespace terse {

/// Orthonormal columns [n, r] that catch nearly as much of the trace of a positive semidefinite
/// matrix as its r largest eigenvectors: what they leave, sqrt(tr M - tr V^T M V), is expected to
/// be within a thousandth of the least there is. Randomised subspace iteration (Halko, Martinsson
/// and Tropp, Finding structure with randomness, SIAM Review 53(2), 2011, algorithm 4.4) with more
/// columns than are asked for; it goes on until an iteration hardly gains. By falling value of the
/// projected matrix. Fixed seed; the same bytes on any number of threads. Nothing when it has not
/// settled after a few iterations, as with spectra that are flat there.
std::optional<Eigen::MatrixXd> dominant_subspace(const RowMajorMatrix64& symmetric, std::int64_t r);

}  // namespace terse
