// A narrower residual stream.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "terse/model/model.h"

namespace terse {

/// The checkpoint with matrices before the sums of the residual stream (Architecture::shortcuts),
/// which change nothing, and with a head of its own where it was tied. Norms that subtract a mean
/// become root-mean-square norms, and the head gets a bias: that is the same model once the means
/// are taken out of what goes into the stream, and the biases of norms (bias_of) are put into
/// what reads them (SliceGPT, section 3.1). `folder` gets a small file that the checkpoint reads
/// from. Errors: bad_usage for families that norm sums, whose attention and MLP read the same
/// stream or whose layer norms have no biases to be put anywhere, and for models of which parts of
/// blocks are gone.
Checkpoint with_shortcuts(const Model& model, const std::filesystem::path& folder);

/// Whether the norms of the family subtract a mean, whatever became of them.
bool family_subtracts_means(const Json& config);

/// The bias of a module, as the checkpoint has it; empty where there is none.
Vector bias_of(const Checkpoint& checkpoint, const std::string& module);

/// The factor of what norms put out that makes up for the mean over fewer values: a stream of which
/// only the first `width` values are not zero has the same norms with `width` values, each times
/// sqrt(hidden_size / width), when norm_eps is multiplied by hidden_size / width.
double norm_scale(const Architecture& a, std::int64_t width);

/// Errors: bad_usage for families whose norms subtract a mean or norm sums, and for those that add
/// positions to the stream.
void require_narrowable(const Architecture& a);

/// The architecture of a stream of `width` values, with the norm_eps of norm_scale.
Architecture with_width(Architecture a, std::int64_t width);

/// Says by the family's keys how wide the stream of this architecture is, and what followed from
/// the width.
void write_width(Json& config, const Architecture& narrow);

/// The first `width` values of the residual stream of a model with shortcuts alone: the same model
/// where the others are zero and linears that read norms have norm_scale in them. Norms of the
/// stream have weights of 1. `folder` as above.
Checkpoint narrowed(const Model& model, std::int64_t width, const std::filesystem::path& folder);

/// What these make of a model, in sizes alone: what is not in the model is zero. Errors: bad_usage
/// as with_shortcuts.
Checkpoint narrow_outline(const Model& model, std::int64_t width);

/// Of block `block`: the tensor [hidden, hidden] whose columns are the directions in which the
/// stream was before it was rotated, behind the block. It is not part of what `narrowed` returns.
std::string rotation_name(std::int64_t block);

}  // namespace terse
