// terse bench: how fast models run on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "activations_option.h"
#include "commands.h"
#include "kv_cache_option.h"
#include "terminal.h"
#include "terse/eval/memory_bandwidth.h"
#include "terse/eval/throughput.h"

namespace terse::cli {
namespace {

struct Options {
  std::vector<std::string> models;
  ThroughputOptions run{.cache = {.type = CacheType::f16}};
  std::int64_t repetitions = 5;
  ActivationType activations = ActivationType::int8;
  bool json = false;
};

struct Spread {
  double median = 0;
  double least = 0;
  double most = 0;
};

Spread spread_of(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

// A model, what a token of it takes, and its runs.
struct Bench {
  std::string name;
  Model model;
  TokenCost cost;
  std::vector<Throughput> runs = {};

  std::vector<double> each(double Throughput::*rate) const {
    std::vector<double> values;
    for (const Throughput& run : runs) values.push_back(run.*rate);
    return values;
  }
  Spread rate(double Throughput::*rate) const { return spread_of(each(rate)); }
};

// Rates over those of the first model in the same round, and what its counts would make of them.
struct Ratio {
  Spread measured;
  double counted;

  double share() const { return measured.median / counted; }
};

Ratio ratio_of(const Bench& bench, const Bench& first, double Throughput::*rate,
               double TokenCost::*cost) {
  std::vector<double> ratios = bench.each(rate);
  const std::vector<double> base = first.each(rate);
  for (std::size_t i = 0; i < ratios.size(); ++i) ratios[i] /= base[i];
  return {spread_of(std::move(ratios)), first.cost.*cost / (bench.cost.*cost)};
}

Ratio prompt_ratio(const Bench& bench, const Bench& first) {
  return ratio_of(bench, first, &Throughput::prompt, &TokenCost::prompt_operations);
}

Ratio generation_ratio(const Bench& bench, const Bench& first) {
  return ratio_of(bench, first, &Throughput::generation, &TokenCost::generation_bytes);
}

double bytes_per_second(const Bench& bench) {
  return bench.rate(&Throughput::generation).median * bench.cost.generation_bytes;
}

Json to_json(const Spread& spread) {
  return {{"median", spread.median}, {"least", spread.least}, {"most", spread.most}};
}

Json to_json(const Ratio& ratio, const char* counted) {
  Json json = to_json(ratio.measured);
  json[counted] = ratio.counted;
  return json;
}

Json to_json(const Bench& bench, const Bench& first, double bandwidth) {
  return {{"model", bench.name},
          {"prompt_tokens_per_second", to_json(bench.rate(&Throughput::prompt))},
          {"tokens_per_second", to_json(bench.rate(&Throughput::generation))},
          {"prompt_operations_per_token", bench.cost.prompt_operations},
          {"bytes_per_token", bench.cost.generation_bytes},
          {"bandwidth_share", bytes_per_second(bench) / bandwidth},
          {"prompt_ratio", to_json(prompt_ratio(bench, first), "of_operations")},
          {"ratio", to_json(generation_ratio(bench, first), "of_bytes")}};
}

Json to_json(const Options& options, const std::vector<Bench>& benches, double bandwidth) {
  Json models = Json::array();
  for (const Bench& bench : benches) models.push_back(to_json(bench, benches.front(), bandwidth));
  return {{"prompt_tokens", options.run.prompt_tokens},
          {"tokens", options.run.tokens},
          {"repetitions", options.repetitions},
          {"memory_bandwidth", bandwidth},
          {"models", std::move(models)}};
}

std::string text(const Spread& spread) {
  return fmt::format("{:.4g} ({:.4g} to {:.4g})", spread.median, spread.least, spread.most);
}

void print_ratio(const char* what, const Ratio& ratio, const char* counted) {
  fmt::print("  {:<11} {} times the first; its {} allow {:.4g}: {:.0f} %\n", what,
             text(ratio.measured), counted, ratio.counted, 100 * ratio.share());
}

void print(const Bench& bench, const Bench& first, double bandwidth) {
  fmt::print("{}\n", bench.name);
  fmt::print("  prompt      {} tokens/s, {:.4g} Gop a token\n",
             text(bench.rate(&Throughput::prompt)), bench.cost.prompt_operations / 1e9);
  fmt::print("  generation  {} tokens/s, {:.4g} MB a token: {:.0f} % of the memory's bandwidth\n",
             text(bench.rate(&Throughput::generation)), bench.cost.generation_bytes / 1e6,
             100 * bytes_per_second(bench) / bandwidth);
  if (&bench == &first) return;
  print_ratio("prompt", prompt_ratio(bench, first), "operations");
  print_ratio("generation", generation_ratio(bench, first), "bytes");
}

// All models at once, so that they take turns.
std::vector<Bench> load(const Options& options) {
  std::vector<Bench> benches;
  for (const std::string& name : options.models) {
    Model model = Model::load(name, options.activations);
    const TokenCost cost = token_cost(model, options.run);
    benches.push_back({name, std::move(model), cost});
  }
  return benches;
}

void run(const Options& options) {
  const RunMeter meter;
  TerminalProgress progress;
  std::vector<Bench> benches = load(options);
  const double bandwidth = memory_bandwidth();
  progress.begin("measuring", (options.repetitions + 1) * static_cast<std::int64_t>(benches.size()),
                 "runs");
  for (std::int64_t repetition = 0; repetition <= options.repetitions; ++repetition) {
    for (Bench& bench : benches) {
      const Throughput found = measure_throughput(bench.model, options.run);
      // The first touches memory that later ones find mapped.
      if (repetition > 0) bench.runs.push_back(found);
      progress.advance(1);
    }
  }
  progress.end();
  show(
      options.json, meter, [&] { return to_json(options, benches, bandwidth); },
      [&] {
        for (const Bench& bench : benches) print(bench, benches.front(), bandwidth);
        fmt::print("memory reads {:.3g} GB/s on all threads\n", bandwidth / 1e9);
      });
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure how fast models read prompts and write on this machine");
  command->footer(
      "Models take turns; each round gives a ratio to the first model, and the medians stand with\n"
      "their least and most. The counts beside them are what their operations (prompt) and bytes\n"
      "(generation) would make of it.\n\n"
      "Examples:\n"
      "  terse bench models/docs-llama --prompt-tokens 128\n"
      "  terse bench models/docs-llama small --prompt-tokens 128 --json");
  command->add_option("models", options->models, "Model directories; the first is compared with")
      ->required();
  command->add_option("--prompt-tokens", options->run.prompt_tokens, "Tokens of the prompt")
      ->capture_default_str()
      ->check(at_least(1));
  command->add_option("--tokens", options->run.tokens, "Tokens to write")
      ->capture_default_str()
      ->check(at_least(2));
  command->add_option("--repetitions", options->repetitions, "Rounds that count, after a first")
      ->capture_default_str()
      ->check(at_least(1));
  add_activations_option(*command, options->activations);
  add_kv_cache_option(*command, options->run.cache);
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
