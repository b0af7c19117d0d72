// What a model, or a part of one, takes: of disk, of memory and of time.
#pragma once

#include <cstdint>

#include "terse/model/model.h"

namespace terse {

/// What may be bounded, or made small.
enum class Resource { size, memory, time };

/// Bytes of weights.
struct Sizes {
  std::uint64_t stored = 0;  ///< In the checkpoint.
  std::uint64_t held = 0;    ///< In memory, packed for the kernels, while the model runs: an
                             ///< embedding of its own is not, its rows are read in the file.

  /// What generation waits for is that weights are read: time goes with what is held.
  std::uint64_t of(Resource resource) const { return resource == Resource::size ? stored : held; }
};

/// Bytes of the linears of a loaded model and of its head as they are held.
std::uint64_t held_bytes(const Model& model);

/// Of the head alone.
std::uint64_t held_by_head(const Model& model);

/// Seconds that a loaded model takes for a token that it writes, after a short prompt: the least of
/// a few runs.
double token_seconds(const Model& model);

}  // namespace terse
