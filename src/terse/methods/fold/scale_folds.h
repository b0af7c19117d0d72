// Scales of the inputs of a block's stages, moved into what comes before: x W^T = (x / s) (W s)^T,
// where s divides the outputs of a norm or of a linear. The block computes what it did, and what is
// hard to quantise has moved (SmoothQuant, Xiao et al. 2023, section 4; AWQ, Lin et al. 2023,
// section 3.2).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "terse/methods/block_method.h"

namespace terse {

/// Whether scales pass into what comes before a stage, and where they end up. Inputs that are
/// computed from one channel there share its scale: those of the query heads of one key-value head.
struct ScaleFold {
  Stage stage;
  std::string obstacle;                        ///< Why no scale passes; empty where one does.
  std::optional<NormRole> norm;                ///< Its weight and bias are divided; or
  std::optional<LinearRole> linear;            ///< rows and biases of this linear.
  std::vector<std::int64_t> channel_of_input;  ///< [in features of the stage]
  std::vector<std::int64_t> row_of_channel;    ///< Row of the linear, or element of the norm.

  bool possible() const { return obstacle.empty(); }
  std::int64_t channels() const { return static_cast<std::int64_t>(row_of_channel.size()); }
};

ScaleFold find_fold(const Architecture& architecture, std::int64_t block, Stage stage);

/// Divides what comes before the stage by `scales`, one positive number for each channel, and
/// multiplies the columns of all linears of the stage by them. Norms and biases are rounded to
/// `vector_dtype`; a scale is then taken as the quotient of a value and what it was rounded to, so
/// that the product stays. (Not for the bias of a norm whose weight is not zero: that is rounded.)
/// A channel whose quotient `vector_dtype` cannot hold is left alone. Linears become dense float32.
/// Errors: failed when the fold is impossible or a scale is not a positive normal number.
void apply_fold(const ScaleFold& fold, const Vector& scales, DType vector_dtype, Block& block);

/// What a method found for one stage.
struct FoundScales {
  Vector scales;        ///< By channel; empty: the stage stays as it is.
  std::string comment;  ///< For the report: "ratio 0.45"; why, where there are no scales.
};

/// Given weights [out, in] of those linears of a stage that the step is aimed at.
using ScaleFinder = std::function<FoundScales(const ScaleFold& fold, const InputStatistics& inputs,
                                              const std::vector<Matrix>& weights)>;

/// Finds and folds scales for one stage after another, in the order in which they are computed.
/// Stages of which no linear is chosen are passed over; those that no scale passes are reported.
std::vector<BlockReport> fold_stages(const BlockProblem& problem, const std::vector<Stage>& stages,
                                     const ScaleFinder& find);

}  // namespace terse
