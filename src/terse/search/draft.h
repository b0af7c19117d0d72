// The recipe that a choice for each unit makes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "terse/search/choice.h"

namespace terse {

/// `settings` (calibration, output) with the steps of one choice for each unit. Linears whose steps
/// are of the same methods share them: options that differ become tables by selectors. No steps
/// where every linear stays dense.
Recipe recipe_of(const std::vector<Unit>& units, const std::vector<const Choice*>& choices,
                 Recipe settings);

/// Selectors, as few as runs of blocks allow, that match `places` and no other linear of `blocks`
/// blocks.
std::vector<std::string> selectors_of(std::vector<LinearPlace> places, std::int64_t blocks);

}  // namespace terse
