// Models of a known shape with random weights, made without a file: for measuring speed and memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "terse/model/model.h"
#include "terse/model/weights/generated.h"

namespace terse {

/// Names of the shapes.
std::vector<std::string> synthetic_shapes();

struct SyntheticOptions {
  std::string shape;             ///< One of synthetic_shapes.
  int bits = 4;                  ///< 2 to 8, of every linear, embedding and head; 16: bfloat16.
  std::int64_t group_size = 32;  ///< Columns that share a scale, where there are scales.
  std::optional<GeneratedSparsity> sparsity = {};  ///< Of the linears in blocks.
};

/// "llama-1b, 4 bits group 32", "llama-1b, 4 bits group 32 bitmap 0.5".
std::string synthetic_name(const SyntheticOptions& options);

/// Opens such a model. Its weights have the standard deviation 0.02 and are the same every time;
/// they are made module by module as they are loaded, so that no more than one is in memory before
/// it is packed; of an opened model none is. Norms are ones, biases zero. Errors: bad_usage for an
/// unknown shape, bits out of range, a group size that does not divide the columns of every weight.
Model open_synthetic(const SyntheticOptions& options,
                     ActivationType activations = ActivationType::f32);

}  // namespace terse
