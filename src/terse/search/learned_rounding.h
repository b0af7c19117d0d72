// AutoRound in the place of GPTQ: the same grids and sizes, with roundings that are learned.
#pragma once

#include <optional>
#include <vector>

#include "terse/search/choice.h"

namespace terse {

/// The choice with AutoRound for GPTQ, of the same bytes; nothing where it is anything but GPTQ
/// alone.
std::optional<Choice> with_learned_rounding(const Choice& choice);

/// Whether the module that learns is installed.
bool learned_rounding_installed();

}  // namespace terse
