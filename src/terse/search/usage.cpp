#include "terse/search/usage.h"

#include <algorithm>
#include <limits>

#include "terse/eval/throughput.h"

namespace terse {

std::uint64_t held_bytes(const Model& model) {
  std::uint64_t bytes = held_by_head(model);
  for (std::int64_t block = 0; block < model.architecture().num_hidden_layers; ++block) {
    for (const auto& [key, linear] : model.block(block).linears) {
      bytes += linear.weight->cost().bytes;
    }
  }
  return bytes;
}

std::uint64_t held_by_head(const Model& model) {
  return model.head().weight->cost().bytes;
}

double token_seconds(const Model& model) {
  constexpr int kRuns = 5;
  const std::int64_t context = model.architecture().context_length();
  const std::int64_t prompt = std::clamp<std::int64_t>(context / 4, 1, 32);
  const ThroughputOptions options{.prompt_tokens = prompt,
                                  .tokens = std::clamp<std::int64_t>(context - prompt, 2, 32)};
  double least = std::numeric_limits<double>::infinity();
  for (int run = 0; run < kRuns; ++run) {
    least = std::min(least, 1 / measure_throughput(model, options).generation);
  }
  return least;
}

}  // namespace terse
