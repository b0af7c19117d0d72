#include "terse/methods/shape/depth.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/shape/ratio_of.h"

namespace terse {

Depth::Depth(std::string method, const MethodOptions& options)
    : method_(std::move(method)),
      ratio_(options.number("ratio")),
      num_hidden_layers_(options.integer("num_hidden_layers")) {
  if (num_hidden_layers_ > 0 && gives_ratio(options)) {
    throw bad_usage("{}: ratio and num_hidden_layers both say how many blocks go; leave one out",
                    method_);
  }
}

std::int64_t Depth::removed(const Architecture& a) const {
  if (num_hidden_layers_ > a.num_hidden_layers) {
    throw bad_usage("{}: num_hidden_layers {}, where the model has {}", method_, num_hidden_layers_,
                    a.num_hidden_layers);
  }
  if (num_hidden_layers_ > 0) return a.num_hidden_layers - num_hidden_layers_;
  const double share = ratio_ * static_cast<double>(a.num_hidden_layers);
  const std::int64_t count = std::lrint(share);
  if (count > 0 && count < a.num_hidden_layers) return count;
  throw bad_usage(
      "{}: a ratio of {} of {} blocks is {:.2f} of them; the nearest that can go are {}", method_,
      ratio_, a.num_hidden_layers, share,
      std::clamp<std::int64_t>(count, 1, a.num_hidden_layers - 1));
}

std::vector<MethodOption> depth_options() {
  return {{"ratio", 0.2, "Share of the blocks that goes", {}, 0, 1, true},
          ratio_of_option("blocks"),
          {"num_hidden_layers",
           std::int64_t{0},
           "In place of the ratio: blocks that stay",
           {},
           0,
           1e9,
           true}};
}

std::vector<KeptBlock> all_but(const std::vector<std::int64_t>& removed, const Architecture& a) {
  std::vector<KeptBlock> kept;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    if (std::ranges::find(removed, block) == removed.end()) kept.push_back({block});
  }
  return kept;
}

}  // namespace terse
