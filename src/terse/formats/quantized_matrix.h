// A weight as integer codes with scales: what every integer container stores in its own layout.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "terse/core/code_rows.h"
#include "terse/core/tensor.h"

namespace terse {

/// What shares one scale, in the words of compressed-tensors (quant_args.py, QuantizationStrategy).
enum class QuantizationStrategy { tensor, channel, group };

/// Order in which columns were quantised: as stored (none); by falling activation, groups of the
/// stored order (weight: nothing more to store); by falling activation, groups of that order
/// (group: needs g_idx). Words of compressed-tensors (quant_args.py, ActivationOrdering).
enum class ActivationOrdering { none, weight, group };

/// Which inputs of a linear share a scale: those of one token, found when it is multiplied
/// (dynamic), or all of them, found in calibration (static). Words of compressed-tensors.
enum class ActivationStrategy { token, tensor };

/// How the inputs x of a linear are rounded before it multiplies them (activation_grid.h).
struct ActivationScheme {
  int bits = 8;  ///< 2 to 8.
  bool symmetric = true;
  ActivationStrategy strategy = ActivationStrategy::token;

  bool operator==(const ActivationScheme&) const = default;

  bool dynamic() const { return strategy == ActivationStrategy::token; }
};

/// How a weight is stored as integers.
struct QuantizationScheme {
  int bits = 4;  ///< 2 to 8.
  bool symmetric = false;
  QuantizationStrategy strategy = QuantizationStrategy::group;
  std::int64_t group_size = 128;  ///< Columns that share a scale; only for strategy group.
  ActivationOrdering actorder = ActivationOrdering::none;
  DType scale_dtype = DType::f32;
  std::optional<ActivationScheme> activations = {};  ///< None: inputs stay as they are.

  bool operator==(const QuantizationScheme&) const = default;

  int levels() const { return 1 << bits; }
  /// The zero point of a symmetric grid: 2^(bits - 1).
  int middle() const { return 1 << (bits - 1); }
  /// Groups of a row of `columns`.
  std::int64_t groups(std::int64_t columns) const {
    return strategy == QuantizationStrategy::group ? columns / group_size : 1;
  }
};

/// W [rows, columns] ~ scales[r, g] * (codes[r, c] - zeros[r, g]) with g = g_idx[c], or
/// c / group_size without g_idx. Codes are unsigned, 0 to 2^bits - 1.
struct QuantizedMatrix {
  QuantizationScheme scheme;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<std::uint8_t> codes;  ///< [rows, columns]; empty where `stored` has them.
  CodeRows stored = {};             ///< Codes that are still in a file.
  Matrix scales;  ///< [rows, groups] ([1, 1] for strategy tensor), exact in scale_dtype
  std::vector<std::uint8_t> zeros;  ///< As scales; every one 2^(bits - 1) when symmetric.
  std::vector<std::int32_t> g_idx;  ///< [columns], only with actorder group; else empty.
  /// The grid of the inputs where it is static: x ~ input_scale * (q - input_zero), with q from
  /// -2^(bits - 1) to 2^(bits - 1) - 1; input_zero is such an integer, 0 when symmetric.
  float input_scale = 1.0F;
  float input_zero = 0.0F;

  std::int64_t group_of(std::int64_t column) const {
    if (scheme.strategy != QuantizationStrategy::group) return 0;
    return g_idx.empty() ? column / scheme.group_size : g_idx[static_cast<std::size_t>(column)];
  }

  bool in_file() const { return stored.row != nullptr; }
  /// All codes, wherever they are.
  CodeRows code_rows() const {
    return in_file() ? stored : CodeRows::of_bytes(codes.data(), columns);
  }
  /// Brings the codes to memory. Errors: as `stored.row`.
  void read_codes();

  /// The weight that the codes stand for, in float32; whole, or one row of `columns` values.
  Matrix dense() const;
  void dense_row(std::int64_t row, float* out) const;
};

}  // namespace terse
