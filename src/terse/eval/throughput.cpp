#include "terse/eval/throughput.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/random.h"
#include "terse/model/generation.h"

namespace terse {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

void check(const ThroughputOptions& options, const Architecture& a) {
  if (options.prompt_tokens < 1 || options.tokens < 2) {
    throw bad_usage("a prompt of {} tokens and {} written; expected 1 and 2 at least",
                    options.prompt_tokens, options.tokens);
  }
  if (options.prompt_tokens > a.context_length() ||
      options.prompt_tokens + options.tokens > a.context_length()) {
    throw bad_usage("{} and {} tokens do not fit the model's context of {}", options.prompt_tokens,
                    options.tokens, a.context_length());
  }
}

Prompt random_prompt(std::int64_t tokens, std::int64_t vocabulary) {
  Random random(0);
  Prompt prompt;
  for (std::int64_t i = 0; i < tokens; ++i) {
    prompt.tokens.push_back(
        static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary))));
  }
  return prompt;
}

// Whether a weight of this config (Weight::config) holds integer codes, all its parts included.
bool holds_integers(const Json& config) {
  if (!config.is_object()) return false;
  if (!config.contains("parts")) return config.contains("quantization");
  const Json& parts = config.at("parts");
  return std::ranges::all_of(parts, [](const Json& part) { return holds_integers(part); });
}

// What one row costs: products, of experts those that it takes, and attention.
struct RowCost {
  ActivationType activations;
  double bytes = 0;
  double operations = 0;
  double integer_operations = 0;

  void add(const Weight& weight, double share = 1) {
    const ProductCost cost = weight.cost();
    const double own = 2 * share * static_cast<double>(cost.multiply_adds);
    bytes += share * static_cast<double>(cost.bytes);
    operations += own;
    if (activations == ActivationType::int8 && holds_integers(weight.config())) {
      integer_operations += own;
    }
  }
};

RowCost block_cost(const Model& model, ActivationType activations, std::int64_t index) {
  const Architecture& a = model.architecture();
  const Block& block = model.block(index);
  RowCost cost{activations};
  for (const auto& [key, linear] : block.linears) {
    const double share = key.of_expert() ? static_cast<double>(a.experts.per_token) /
                                               static_cast<double>(a.shape(index).num_experts)
                                         : 1.0;
    cost.add(*linear.weight, share);
  }
  for (const auto& [role, weight] : block.shortcuts) cost.add(*weight);
  if (block.router.weight != nullptr) cost.add(*block.router.weight);
  return cost;
}

// Positions that a row of a prompt attends to on average, its own included.
double mean_positions(double prompt, double window) {
  if (window <= 0 || window >= prompt) return (prompt + 1) / 2;
  return (window * (window + 1) / 2 + (prompt - window) * window) / prompt;
}

double window_of(const Architecture& a, std::int64_t block) {
  return static_cast<double>(a.sliding_window[static_cast<std::size_t>(block)]);
}

double attention_operations(const Architecture& a, std::int64_t block, double positions) {
  return 2 * 2 * positions * static_cast<double>(a.query_size(block));
}

RowCost ends_cost(const Model& model, ActivationType activations) {
  RowCost cost{activations};
  cost.add(*model.head().weight);
  if (model.project_in() != nullptr) cost.add(*model.project_in());
  if (model.project_out() != nullptr) cost.add(*model.project_out());
  return cost;
}

}  // namespace

Throughput measure_throughput(const Model& model, const ThroughputOptions& options) {
  check(options, model.architecture());
  const std::vector<Prompt> prompts{
      random_prompt(options.prompt_tokens, model.architecture().vocab_size)};
  GenerationOptions generation;
  generation.max_tokens = options.tokens;
  generation.sampling.temperature = 0;
  generation.cache = options.cache;
  std::vector<Clock::time_point> times;
  const Clock::time_point start = Clock::now();
  generate(model, prompts, generation,
           [&](std::size_t, std::int32_t) { times.push_back(Clock::now()); });
  return {static_cast<double>(options.prompt_tokens) / seconds_between(start, times.front()),
          static_cast<double>(times.size() - 1) / seconds_between(times.front(), times.back())};
}

TokenCost token_cost(const Model& model, ActivationType activations,
                     const ThroughputOptions& options) {
  const Architecture& a = model.architecture();
  check(options, a);
  const auto prompt = static_cast<double>(options.prompt_tokens);
  RowCost reading{activations};
  RowCost writing{activations};
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    const RowCost linears = block_cost(model, activations, block);
    const double window = window_of(a, block);
    const double mean = mean_positions(prompt, window);
    reading.operations += linears.operations + attention_operations(a, block, mean);
    reading.integer_operations += linears.integer_operations;
    const double last = prompt + static_cast<double>(options.tokens) / 2;
    const double seen = window > 0 ? std::min(last, window) : last;
    writing.bytes += linears.bytes + cache_bytes_read(a, block, seen, options.cache);
  }
  const RowCost ends = ends_cost(model, activations);
  return {reading.operations + ends.operations / prompt,
          reading.integer_operations + ends.integer_operations / prompt,
          writing.bytes + ends.bytes};
}

}  // namespace terse
