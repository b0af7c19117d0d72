// Rotary positions (Su et al., arXiv 2104.09864) and their scalings.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/model/architecture.h"

namespace terse {

/// Frequencies of the `dimensions / 2` pairs for sequences of at most `length` positions: linear
/// (Chen et al., arXiv 2306.15595), dynamic NTK, llama3 and yarn (Peng et al., arXiv 2309.00071).
/// Only dynamic depends on `length`: it is fixed for a whole sequence, so that a sequence computed
/// piece by piece with a cache equals the same one computed at once.
std::vector<float> rotary_frequencies(const Rope& rope, std::int64_t length);

}  // namespace terse
