// Compressing a checkpoint: block by block, calibrated on activations that the compressed part of
// the model produces.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "terse/core/method_registry.h"
#include "terse/core/progress.h"
#include "terse/recipe/calibration.h"

namespace terse {

struct CompressionSettings {
  std::string method;
  std::map<std::string, std::string> options;  ///< Of the method, as text; the rest by default.
  std::vector<std::string> ignore;  ///< Regular expressions on module names to leave dense.
  int embeddings_bits = 0;          ///< Of embedding and head, group-wise; 0 leaves them.
  bool true_sequential = true;      ///< Statistics of a stage see the stages before it compressed.
  bool dequantize = false;          ///< Write dense weights in the original type.
  bool force = false;               ///< Replace an output directory that exists.
  CalibrationSettings calibration;
};

/// What became of one linear.
struct LinearReport {
  std::string module;
  std::string kind;
  double relative_weight_error = 0;  ///< |W - W'|^2 / |W|^2
  std::optional<double> relative_output_error =
      {};  ///< |X (W - W')^T|^2 / |X W^T|^2, if calibrated
};

struct CompressionReport {
  std::vector<LinearReport> linears;
  std::int64_t parameters = 0;  ///< Of the model; tied ones once.
  std::uint64_t bytes_before = 0;
  std::uint64_t bytes_after = 0;
  double bits_per_weight_before = 0;
  double bits_per_weight = 0;         ///< Stored bits of all tensors over all parameters.
  double linear_bits_per_weight = 0;  ///< Of the compressed linears alone, scales included.
  std::string calibration_source;     ///< Empty: the method needs none.
  std::int64_t calibration_tokens = 0;
};

/// Compresses the model in `input` into the new directory `output`, which appears when it is
/// complete. Errors: bad_usage and bad_input before anything is written; failed when the disk is
/// full or numbers are not finite (then nothing is left behind).
CompressionReport compress(const std::filesystem::path& input, const std::filesystem::path& output,
                           const CompressionSettings& settings, Progress& progress);

}  // namespace terse
