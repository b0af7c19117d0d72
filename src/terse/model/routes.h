// Which rows of a batch go to which experts of an MLP.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/model/architecture.h"

namespace terse {

/// Turns the router's logits of one row, one for each expert, into its routes: the softmax over all
/// experts for those `per_token` whose logits are the largest (of equal ones the first), divided by
/// their sum where `normalised`; 0 for the others.
void route_row(const Experts& experts, std::span<float> logits);

/// The rows that experts take, stacked one expert's after another's. A stack has one place for each
/// route [rows, experts] that is not 0.
class RoutedRows {
 public:
  explicit RoutedRows(const Matrix& routes);

  /// Places of all experts together, and of one.
  std::int64_t count() const { return first_.back(); }
  std::int64_t count(std::int64_t expert) const { return first(expert + 1) - first(expert); }

  /// The first place of an expert.
  std::int64_t first(std::int64_t expert) const { return first_[static_cast<std::size_t>(expert)]; }

  /// Row and expert of a place.
  std::int64_t source(std::int64_t place) const { return source_[static_cast<std::size_t>(place)]; }
  std::int64_t expert(std::int64_t place) const { return expert_[static_cast<std::size_t>(place)]; }

  /// The places of a row, in the order of its experts.
  const std::vector<std::int64_t>& places(std::int64_t row) const {
    return places_[static_cast<std::size_t>(row)];
  }

 private:
  std::vector<std::int64_t> first_;
  std::vector<std::int64_t> source_;
  std::vector<std::int64_t> expert_;
  std::vector<std::vector<std::int64_t>> places_;
};

}  // namespace terse
