// A minimal safetensors reader and writer for tests, independent of the product's.
#pragma once

#include <filesystem>
#include <string>

#include "support/reference_model.h"

namespace terse::test {

// The value rounded to the nearest one (ties to even) of dtype "F32", "F16" or "BF16".
double round_to(const std::string& dtype, double value);

// Every value of every tensor rounded to the dtype.
ReferenceWeights round_weights(ReferenceWeights weights, const std::string& dtype);

// Writes the tensors in the order of their names, each value rounded to the dtype.
void write_safetensors(const std::filesystem::path& path, const ReferenceWeights& weights,
                       const std::string& dtype);

// Reads a file whose tensors are F32, F16 or BF16; throws std::runtime_error for any other.
ReferenceWeights read_safetensors(const std::filesystem::path& path);

}  // namespace terse::test
