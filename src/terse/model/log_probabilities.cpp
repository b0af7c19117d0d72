#include "terse/model/log_probabilities.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace terse {
namespace {

double log_sum_exp(std::span<const float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

std::vector<std::int32_t> most_probable(std::span<const float> logits, std::int64_t count) {
  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto end = ids.begin() + std::min(static_cast<std::ptrdiff_t>(count), std::ssize(ids));
  std::partial_sort(ids.begin(), end, ids.end(), [&](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<std::size_t>(a)];
    const float y = logits[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  });
  ids.erase(end, ids.end());
  return ids;
}

}  // namespace

TokenLogProbabilities log_probabilities(std::span<const float> logits, std::int32_t chosen,
                                        std::int64_t count) {
  const double total = log_sum_exp(logits);
  const auto of = [&](std::int32_t id) -> TokenLogProbability {
    return {id, logits[static_cast<std::size_t>(id)] - total};
  };
  TokenLogProbabilities result{of(chosen), {}};
  for (const std::int32_t id : most_probable(logits, count)) result.best.push_back(of(id));
  return result;
}

}  // namespace terse
