// A narrower residual stream.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "terse/model/model.h"

namespace terse {

/// The checkpoint with matrices before the sums of the residual stream (Architecture::shortcuts),
/// which change nothing, and with a head of its own where it was tied. `folder` gets a small file
/// that the checkpoint reads from. Errors: bad_usage for families whose norms subtract a mean or
/// that norm sums, and for models of which parts of blocks are gone.
Checkpoint with_shortcuts(const Model& model, const std::filesystem::path& folder);

/// The factor of what norms put out that makes up for the mean over fewer values: a stream of which
/// only the first `width` values are not zero has the same norms with `width` values, each times
/// sqrt(hidden_size / width), when norm_eps is multiplied by hidden_size / width.
double norm_scale(const Architecture& a, std::int64_t width);

/// Errors: bad_usage for families whose norms subtract a mean or norm sums, and for those that add
/// positions to the stream.
void require_narrowable(const Architecture& a);

/// Says in config.json that the stream of this architecture has `width` values.
void write_width(Json& config, const Architecture& a, std::int64_t width);

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
