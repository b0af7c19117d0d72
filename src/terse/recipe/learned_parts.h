// What a step that learned made of a model, as the parts of a pass.
#pragma once

#include <vector>

#include "terse/methods/training.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/schedule.h"

namespace terse {

/// One part for each block; embedding, head and last norm go with the last one. `model` is as the
/// step found it.
std::vector<BlockResult> parts_of(const LearnedModel& learned, const Model& model,
                                  const Schedule& schedule, const OutputSettings& output);

}  // namespace terse
