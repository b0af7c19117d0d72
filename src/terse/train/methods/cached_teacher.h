// A teacher's predictions, computed once and kept in a file.
#pragma once

#include "terse/core/progress.h"
#include "terse/formats/teacher_outputs.h"
#include "terse/methods/training.h"
#include "terse/train/loop/packed_tokens.h"
#include "terse/train/losses/top_k_divergence.h"

namespace terse::train {

/// As TrainingModule::cache_teacher.
void cache_teacher(const TeacherTask& task, Progress& progress);

/// Opens the file that a problem names. Errors: bad_input when it is not there or does not fit the
/// problem.
TeacherOutputs open_teacher_outputs(const LearningProblem& problem);

/// What the file says of rows [first, first + rows) of a batch of windows.
TopK teacher_rows(const TeacherOutputs& outputs, const TokenBatch& batch, std::int64_t first,
                  std::int64_t rows);

}  // namespace terse::train
