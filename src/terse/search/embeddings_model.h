// A model with another embedding and head.
#pragma once

#include <cstdint>
#include <filesystem>

#include "terse/model/model.h"
#include "terse/recipe/recipe.h"

namespace terse {

/// `model` with embedding and head as a recipe's `embeddings_bits` leaves them
/// (recipe/embeddings.h) and no block loaded. `bytes` is what embedding and head then take. `file`
/// is written and removed. Errors: failed.
struct EmbeddingsModel {
  EmbeddingsModel(const Model& model, const Recipe& recipe, const std::filesystem::path& file);

  Model model;
  std::uint64_t bytes = 0;
};

/// Bytes of embedding and head as they are stored, without a bias of the head.
std::uint64_t embeddings_bytes(const Model& model);

}  // namespace terse
