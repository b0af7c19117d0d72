#include "support/reference_experts.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace terse::test {
namespace {

std::vector<double> softmax(const std::vector<double>& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> shares;
  double sum = 0;
  for (const double logit : logits) {
    shares.push_back(std::exp(logit - largest));
    sum += shares.back();
  }
  for (double& share : shares) share /= sum;
  return shares;
}

// One expert on one row.
std::vector<double> apply_expert(const ReferenceWeights& weights, const ReferenceExperts& settings,
                                 int expert, const std::vector<double>& row) {
  const std::string name = settings.experts + std::to_string(expert);
  const Rows x = {row};
  const Rows gate = linear(weights, name + settings.gate, x, settings.intermediate, false);
  const Rows up = linear(weights, name + settings.up, x, settings.intermediate, false);
  const Rows gated = multiply(activate(settings.activation, gate), up);
  return linear(weights, name + settings.down, gated, static_cast<int>(row.size()), false)[0];
}

}  // namespace

Rows expert_mlp(const ReferenceWeights& weights, const ReferenceExperts& settings, const Rows& x) {
  const Rows logits = linear(weights, settings.router, x, settings.count, false);
  Rows result;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::vector<double> shares = softmax(logits[i]);
    std::vector<int> order(shares.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return shares[static_cast<std::size_t>(a)] > shares[static_cast<std::size_t>(b)];
    });
    double chosen = 0;
    for (int k = 0; k < settings.per_token; ++k) {
      chosen += shares[static_cast<std::size_t>(order[static_cast<std::size_t>(k)])];
    }
    std::vector<double> sum(x[i].size());
    for (int k = 0; k < settings.per_token; ++k) {
      const int expert = order[static_cast<std::size_t>(k)];
      const double share = shares[static_cast<std::size_t>(expert)];
      const std::vector<double> made = apply_expert(weights, settings, expert, x[i]);
      for (std::size_t j = 0; j < sum.size(); ++j) {
        sum[j] += made[j] * (settings.normalised ? share / chosen : share);
      }
    }
    result.push_back(sum);
  }
  return result;
}

}  // namespace terse::test
