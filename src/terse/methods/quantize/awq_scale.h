// AWQ's search for scales of input channels that protect the weights of large activations.
#pragma once

#include <vector>

#include "terse/methods/input_statistics.h"
#include "terse/methods/quantize/grid.h"

namespace terse {

/// Rows of a weight that the error is summed over, spread evenly: a search over all rows of a large
/// weight would take minutes and find the same.
inline constexpr std::int64_t kAwqSearchRows = 512;

/// How weights will be rounded, and which scales are tried.
struct AwqSearch {
  QuantizationScheme scheme;
  GridOptions grid;
  std::int64_t n_grid = 20;
  bool duo_scaling = false;
};

struct AwqScales {
  Vector scales;        ///< One for each channel, or empty where no scales are better than none.
  double ratio = 0;     ///< The exponent that was chosen.
  double error = 0;     ///< Error with these scales,
  double unscaled = 0;  ///< and without.
};

/// s_c = p_c / sqrt(max p min p) with p_c = a_c^ratio, where a_c is the root mean square of the
/// inputs of channel c (published code: their mean size), for `ratio` in 0, 1/n, …, (n - 1)/n.
/// With `duo_scaling` (AutoAWQ's) p_c = a_c^ratio / (w_c^(1 - ratio) + 1e-4), where w_c is the mean
/// size of the channel's weights, each as a share of the largest of those that share its scale.
/// Of these and no scales at all, the first of the smallest sum over weights of
///     sum_t ||(Q(W diag(s)) diag(s)^-1 - W) x_t||^2        (Lin et al. 2023, equations 4 and 5).
/// over kAwqSearchRows of each weight's rows at most, times what they stand for.
/// Channels whose inputs were always zero get scale 1. `channel_of_input` has one entry per input.
/// Errors: failed when `inputs` has no second moments.
AwqScales search_awq_scales(const AwqSearch& search, const std::vector<Matrix>& weights,
                            const InputStatistics& inputs,
                            const std::vector<std::int64_t>& channel_of_input,
                            std::int64_t channels);

}  // namespace terse
