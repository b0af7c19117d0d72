#include "terse/model/routes.h"

#include <algorithm>
#include <cmath>

namespace terse {
namespace {

void softmax(std::span<float> values) {
  const float largest = *std::ranges::max_element(values);
  float sum = 0;
  for (float& value : values) {
    value = std::exp(value - largest);
    sum += value;
  }
  for (float& value : values) value /= sum;
}

// Compares so that values that are not numbers are chosen somehow, too.
std::vector<bool> largest(std::span<const float> values, std::int64_t count) {
  std::vector<bool> chosen(values.size());
  for (std::int64_t i = 0; i < count; ++i) {
    std::size_t best = values.size();
    for (std::size_t at = 0; at < values.size(); ++at) {
      if (!chosen[at] && (best == values.size() || values[at] > values[best])) best = at;
    }
    chosen[best] = true;
  }
  return chosen;
}

}  // namespace

void route_row(const Experts& experts, std::span<float> logits) {
  const std::vector<bool> chosen = largest(logits, experts.per_token);
  softmax(logits);
  float sum = 0;
  for (std::size_t at = 0; at < logits.size(); ++at) {
    if (!chosen[at]) logits[at] = 0;
    sum += logits[at];
  }
  if (!experts.normalised) return;
  for (float& share : logits) share /= sum;
}

RoutedRows::RoutedRows(const Matrix& routes)
    : first_{0}, places_(static_cast<std::size_t>(routes.rows())) {
  for (std::int64_t expert = 0; expert < routes.cols(); ++expert) {
    for (std::int64_t row = 0; row < routes.rows(); ++row) {
      if (routes(row, expert) == 0) continue;
      places_[static_cast<std::size_t>(row)].push_back(static_cast<std::int64_t>(source_.size()));
      source_.push_back(row);
      expert_.push_back(expert);
    }
    first_.push_back(static_cast<std::int64_t>(source_.size()));
  }
}

}  // namespace terse
