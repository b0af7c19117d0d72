// Token ids from files: NumPy's .npy and JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "terse/core/json.h"
#include "terse/core/tensor.h"

namespace terse {

/// Token ids, one sequence [length] or several of the same length [sequences, length].
struct TokenArray {
  Shape shape;
  std::vector<std::int32_t> ids;  ///< Row-major, none negative.
};

/// Parses a .npy file held in memory: versions 1 to 3, C order, one or two dimensions,
/// little-endian integers of any width (numpy.lib.format). Errors: bad_input.
TokenArray parse_npy(std::span<const std::byte> file);

/// Takes ids from a JSON array, or from an array of arrays of one length. Errors: bad_input.
TokenArray parse_token_json(const Json& json);

/// Reads `.npy` or `.json`. Errors: bad_input, naming the file.
TokenArray read_token_ids(const std::filesystem::path& path);

/// The same for a model's vocabulary: ids from `vocab_size` on are refused too.
TokenArray read_token_ids(const std::filesystem::path& path, std::int64_t vocab_size);

}  // namespace terse
