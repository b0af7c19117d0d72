// What a model directory holds, from its headers alone: parameters, bytes and storage by role.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "terse/model/model.h"

namespace terse {

/// All weights of one role ("embedding", "q_proj", "norms", …) that are stored in one way.
struct InventoryRow {
  std::string role;
  std::int64_t count = 0;       ///< Modules or tensors.
  std::int64_t parameters = 0;  ///< Of the dense weight, whatever it is stored as.
  std::uint64_t bytes = 0;      ///< Of all tensors that store it.
  std::string kind;             ///< "bfloat16", "4 bits group 128".

  double bits_per_weight() const {
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters);
  }
};

struct Inventory {
  std::vector<InventoryRow> rows;
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;
  std::int64_t compressed_modules = 0;

  double bits_per_weight() const {
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters);
  }
};

/// Bytes of a tensor, from headers alone.
std::uint64_t stored_bytes(const Checkpoint& checkpoint, const std::string& name);

/// Counts the tensors that the model uses; tied ones once.
Inventory take_inventory(const Model& model);

}  // namespace terse
