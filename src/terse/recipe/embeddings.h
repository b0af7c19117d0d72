// Embedding and head, which no block holds.
#pragma once

#include "terse/recipe/block_compressor.h"
#include "terse/recipe/recipe.h"

namespace terse {

/// Rounds embedding and head to the nearest points of group-wise grids, `embeddings_bits` of the
/// recipe's output: no activations come before the one, and the other is as sensitive as it is
/// large. Scales are clipped and stored as the recipe's last quantising step asks for.
BlockResult compress_embeddings(const Model& model, const Recipe& recipe);

/// Rows that are rounded at a time.
inline constexpr std::int64_t kEmbeddingRows = 4096;

/// Their group size: the largest divisor of the embedding's width up to 128.
std::int64_t embedding_group_size(const Architecture& architecture);

}  // namespace terse
