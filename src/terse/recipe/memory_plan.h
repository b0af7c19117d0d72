// How much memory a recipe takes on a model: known before it runs, from headers alone.
#pragma once

#include <cstdint>

#include "terse/methods/shape_method.h"
#include "terse/model/model.h"
#include "terse/recipe/calibration.h"
#include "terse/recipe/recipe.h"
#include "terse/recipe/schedule.h"

namespace terse {

/// Private memory of one pass of a run, in bytes, by what it is for.
struct MemoryPlan {
  std::uint64_t program = 0;      ///< The program, its libraries, the model's vectors.
  std::uint64_t block = 0;        ///< Weights of a block as they run, and its results.
  std::uint64_t written = 0;      ///< Results that wait to be written.
  std::uint64_t statistics = 0;   ///< Of the inputs of the widest stage.
  std::uint64_t solving = 0;      ///< What methods work in, for the largest stage.
  std::uint64_t training = 0;     ///< Of a block that is reconstructed, with its gradients.
  std::uint64_t passing = 0;      ///< One group of windows on its way through a stage.
  std::uint64_t activations = 0;  ///< Of all calibration tokens, between two stages.
  std::uint64_t held = 0;         ///< Of them, what stays in memory; the rest goes to disk.
  std::uint64_t evaluation = 0;   ///< Of the whole model, where a step that changes the shape asks.
  std::uint64_t generation = 0;   ///< Self-generated calibration: the whole model and its caches.

  /// The expected peak.
  std::uint64_t peak() const;

  /// The expected peak but for activations.
  std::uint64_t without_activations() const;

  /// What no run exceeds: the largest block in float32, the second moments of all its stages and
  /// one more of the largest, a block read ahead, a block being written, the held activations and
  /// 200 MiB; or what generating calibration text takes.
  std::uint64_t bound = 0;

  /// Address space that BLAS reserves for its work and hardly touches. A limit on private writable
  /// memory (`ulimit -d`) counts it, memory in use does not: such a limit is bound + reserved.
  std::uint64_t reserved = 0;

  /// Embedding and head, rounded after the blocks.
  std::uint64_t embeddings = 0;

  /// Bytes on disk beside the output: activations that are not held, and the copies that a killed
  /// run goes on from.
  std::uint64_t disk = 0;
};

/// Sets of activations that a pass holds: its own, and those of a model beside it.
std::int64_t stream_count(const Schedule& schedule);
std::int64_t stream_count(const ShapeMethod& method);

/// `limit` is the memory that may be used: activations are held as far as it goes.
MemoryPlan plan_memory(const Model& model, const Schedule& schedule,
                       const CalibrationSize& calibration, const OutputSettings& output,
                       std::uint64_t limit);

/// The same of a step that changes the shape, while it looks at the model, turns it or makes up for
/// what goes.
MemoryPlan plan_shape_memory(const Model& model, const ShapeMethod& method,
                             const CalibrationSize& calibration, std::uint64_t limit);

/// Of two passes the peak of the larger, and the larger bound and disk.
MemoryPlan larger(const MemoryPlan& one, const MemoryPlan& other);

/// Errors: bad_usage when the plan exceeds the limit whatever is spilled; says how much is needed.
void require_fit(const MemoryPlan& plan, std::uint64_t limit);

/// The limit of a run that names none: four fifths of what the machine has free.
std::uint64_t default_memory_limit();

}  // namespace terse
