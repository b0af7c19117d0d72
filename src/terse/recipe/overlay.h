// A checkpoint as the finished parts of a run leave it.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/formats/checkpoint.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/recipe/journal.h"

namespace terse {

/// Which form of the weights: what is written, or what later blocks see (they differ where dense
/// output rounds codes).
enum class PartForm { written, exact };

/// `base` with the parts of all passes of a journal over it, embeddings included; its config speaks
/// of every weight. Errors: bad_input.
Checkpoint overlay_parts(const Checkpoint& base, const Journal& journal, PartForm form);

/// The tensors of an overlay in the order in which they are written: those of parts block after
/// block, then the others by name.
std::vector<std::string> overlay_order(const Checkpoint& overlay, const Journal& journal);

/// A tensor of a checkpoint. Errors: bad_input where it is not finite.
Tensor finite_tensor(const Checkpoint& checkpoint, const std::string& name);

/// Hands the tensors of a checkpoint to a writer, in that order. Errors: bad_input for one that is
/// not finite. They are read when they are written: the checkpoint must live until then.
void write_tensors(const Checkpoint& checkpoint, const std::vector<std::string>& order,
                   CheckpointWriter& writer);

}  // namespace terse
