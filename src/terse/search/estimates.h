// What is expected of choices, from what was measured of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "terse/search/knapsack.h"

namespace terse {

/// By unit and choice: bytes of some resource, and the KL divergence that the choice adds, in nats
/// per position. 0 is the choice to leave the unit as it is. The last entry has that one alone: it
/// is all that no choice changes.
using Sensitivities = std::vector<std::map<std::size_t, KnapsackOption>>;

/// A choice for each unit, with what is expected of them together.
struct Assignment {
  std::vector<std::size_t> options;
  std::uint64_t bytes = 0;
  double loss = 0;
};

/// The assignment of least loss within a budget; nothing where none is so small. Losses add up:
/// errors of different linears are nearly independent, and divergence is quadratic in them.
std::optional<Assignment> least_loss(const Sensitivities& sensitivities, std::uint64_t budget);

/// The smallest assignment that loses at most `loss`; nothing where all lose more.
std::optional<Assignment> least_bytes(const Sensitivities& sensitivities, double loss);

/// The fewest bytes that any assignment takes.
std::uint64_t fewest_bytes(const Sensitivities& sensitivities);

/// Choices of a unit but 0 that no other clearly beats: is no larger, and loses less than `share`
/// of what it loses.
std::vector<std::size_t> promising(const std::map<std::size_t, KnapsackOption>& unit, double share);

/// Of one unit no choice but `option`.
Sensitivities with_fixed(Sensitivities sensitivities, std::size_t unit, std::size_t option);

/// Losses of units, but not of all else, multiplied by `factor(unit, option)`.
Sensitivities scaled(Sensitivities sensitivities,
                     const std::function<double(std::size_t unit, std::size_t option)>& factor);

}  // namespace terse
