// Embedding and head of a model whose residual stream is turned.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "terse/model/model.h"

namespace terse {

/// The checkpoint with an embedding, and learned positions, whose rows are multiplied by `rotation`
/// [hidden, hidden], in a file that is written to `path`; without their means where the family's
/// norms subtract these. The same bytes on any number of threads.
Checkpoint with_turned_embedding(const Model& model, const Matrix& rotation,
                                 const std::filesystem::path& path);

/// The checkpoint with zeros in the place of all columns of the embedding but these, in a file that
/// is written to `path`.
Checkpoint with_kept_channels(const Model& model, const std::vector<std::int64_t>& kept,
                              const std::filesystem::path& path);

/// The checkpoint with a head that reads the stream as `rotation` turns it, with the weights of the
/// last norm times `scale` in it and, where that has a bias, with what comes of it as its own.
Checkpoint with_turned_head(const Model& model, const Matrix& rotation, double scale,
                            const std::filesystem::path& path);

}  // namespace terse
