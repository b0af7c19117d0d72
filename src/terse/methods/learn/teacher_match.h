// Whether one model can teach another by its logits.
#pragma once

#include "terse/model/model.h"

namespace terse {

/// Errors: bad_input when the two predict other numbers of tokens, or tokens that their tokenizers
/// spell differently; models without tokenizer.json are taken to agree.
void require_match(const Model& teacher, const Model& student);

}  // namespace terse
