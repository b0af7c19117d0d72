// A model whose blocks share weights, with all of them in full.
#pragma once

#include <filesystem>

#include "terse/model/model.h"

namespace terse {

/// The checkpoint of the same model for programs that know no sharing: every linear has its weight,
/// stored as the shared one is; where it has a difference of its own, dense in the type of the
/// model. These are written to a file in `folder`, which the checkpoint reads from. Errors: failed
/// when it cannot be written.
Checkpoint expanded(const Model& model, const std::filesystem::path& folder);

}  // namespace terse
