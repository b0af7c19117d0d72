// terse bench: how fast models run on this machine.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <optional>

#include "activations_option.h"
#include "bench_report.h"
#include "commands.h"
#include "kv_cache_option.h"
#include "terminal.h"
#include "terse/core/error.h"
#include "terse/core/free_memory.h"
#include "terse/core/threads.h"
#include "terse/eval/arithmetic_peak.h"
#include "terse/eval/memory_bandwidth.h"
#include "terse/eval/throughput.h"
#include "terse/model/synthetic.h"

namespace terse::cli {
namespace {

struct Options {
  std::vector<std::string> models;
  std::string synthetic;  // a shape; empty: none
  std::vector<int> bits{4};
  std::int64_t group_size = 32;
  std::vector<std::string> sparsity{"0"};
  std::vector<std::int64_t> prompt_tokens{512};
  std::vector<std::int64_t> context;  // read before tokens are written, where that alone counts
  std::vector<std::int64_t> tokens{32};
  std::vector<int> threads;
  std::int64_t repetitions = 5;
  ActivationType activations = ActivationType::int8;
  CacheOptions cache{.type = CacheType::f16};
  bool json = false;
  bool csv = false;
};

struct NamedModel {
  std::string name;
  Model model;
};

// Lengths and threads, and what the models, in their order, did with them.
struct Case {
  std::size_t limits;  // index of those of its threads
  ThroughputOptions lengths;
  std::vector<TokenCost> costs = {};
  std::vector<std::vector<Throughput>> runs = {};
};

std::optional<GeneratedSparsity> sparsity_of(const std::string& word) {
  if (word == "0") return std::nullopt;
  if (word == "2:4") return GeneratedSparsity{SparseLayout::two_four, 0.5};
  double share = 0;
  const auto result = std::from_chars(word.data(), word.data() + word.size(), share);
  const bool whole = result.ec == std::errc() && result.ptr == word.data() + word.size();
  if (whole && share > 0 && share < 1) return GeneratedSparsity{SparseLayout::bitmap, share};
  throw bad_usage("--sparsity {}: expected a share below 1, or 2:4", word);
}

std::vector<NamedModel> open(const Options& options) {
  std::vector<NamedModel> models;
  for (const std::string& name : options.models) {
    models.push_back({name, Model::open(name, options.activations)});
  }
  if (options.synthetic.empty()) return models;
  for (const int bits : options.bits) {
    for (const std::string& sparsity : options.sparsity) {
      const SyntheticOptions made{.shape = options.synthetic,
                                  .bits = bits,
                                  .group_size = options.group_size,
                                  .sparsity = sparsity_of(sparsity)};
      models.push_back({synthetic_name(made), open_synthetic(made, options.activations)});
    }
  }
  return models;
}

void load(NamedModel& named, Progress& progress) {
  const std::int64_t blocks = named.model.architecture().num_hidden_layers;
  progress.begin(fmt::format("loading {}", named.name), blocks, "blocks");
  // First, since packing the largest matrices takes the most beside what is there.
  named.model.load_head();
  for (std::int64_t block = 0; block < blocks; ++block) {
    named.model.load_block(block);
    release_free_memory();
    progress.advance(1);
  }
  progress.end();
}

std::vector<MachineLimits> measure_limits(const std::vector<int>& threads) {
  const int before = thread_count();
  std::vector<MachineLimits> limits;
  for (const int count : threads) {
    set_thread_count(count);
    limits.push_back({count, memory_bandwidth(), byte_peak(), float_peak()});
  }
  set_thread_count(before);
  return limits;
}

std::vector<Case> cases_of(const Options& options, std::size_t thread_counts) {
  std::vector<Case> cases;
  for (std::size_t threads = 0; threads < thread_counts; ++threads) {
    for (const std::int64_t read :
         options.context.empty() ? options.prompt_tokens : options.context) {
      for (const std::int64_t written : options.tokens) {
        cases.push_back({threads, {read, written, options.cache}});
      }
    }
  }
  return cases;
}

void count(const std::vector<NamedModel>& models, ActivationType activations,
           std::vector<Case>& cases) {
  for (Case& each : cases) {
    for (const NamedModel& named : models) {
      each.costs.push_back(token_cost(named.model, activations, each.lengths));
    }
    each.runs.resize(models.size());
  }
}

// In every round all models take turns in every case.
void measure(const std::vector<NamedModel>& models, const std::vector<MachineLimits>& limits,
             std::int64_t repetitions, std::vector<Case>& cases, Progress& progress) {
  const std::size_t runs = cases.size() * models.size();
  progress.begin("measuring", (repetitions + 1) * static_cast<std::int64_t>(runs), "runs");
  for (std::int64_t repetition = 0; repetition <= repetitions; ++repetition) {
    for (Case& each : cases) {
      set_thread_count(limits[each.limits].threads);
      for (std::size_t m = 0; m < models.size(); ++m) {
        const Throughput found = measure_throughput(models[m].model, each.lengths);
        // The first touches memory that later ones find mapped.
        if (repetition > 0) each.runs[m].push_back(found);
        progress.advance(1);
      }
    }
  }
  progress.end();
}

std::vector<double> rates(const std::vector<Throughput>& runs, double Throughput::*rate) {
  std::vector<double> values;
  for (const Throughput& run : runs) values.push_back(run.*rate);
  return values;
}

// Seconds that a token of the prompt would take at the peaks.
double seconds_at_peaks(const TokenCost& cost, const MachineLimits& limits) {
  return cost.integer_operations / limits.integer_peak +
         (cost.prompt_operations - cost.integer_operations) / limits.float_peak;
}

BenchLine line_of(const Case& run, const MachineLimits& limits, const NamedModel& named,
                  std::size_t index, bool generation) {
  const auto rate = generation ? &Throughput::generation : &Throughput::prompt;
  const auto cost = generation ? &TokenCost::generation_bytes : &TokenCost::prompt_operations;
  const TokenCost& own = run.costs[index];
  std::vector<double> ratios = rates(run.runs[index], rate);
  const Spread spread = spread_of(ratios);
  const std::vector<double> first = rates(run.runs.front(), rate);
  for (std::size_t i = 0; i < ratios.size(); ++i) ratios[i] /= first[i];
  const double share =
      generation ? own.generation_bytes / limits.memory_bandwidth : seconds_at_peaks(own, limits);
  return {.model = named.name,
          .threads = limits.threads,
          .generation = generation,
          .prompt_tokens = run.lengths.prompt_tokens,
          .tokens = run.lengths.tokens,
          .rate = spread,
          .token_cost = own.*cost,
          .limit_share = spread.median * share,
          .ratio = spread_of(std::move(ratios)),
          .counted_ratio = run.costs.front().*cost / (own.*cost)};
}

std::vector<BenchLine> lines_of(const std::vector<NamedModel>& models,
                                const std::vector<MachineLimits>& limits,
                                const std::vector<Case>& cases, bool with_prompt) {
  std::vector<BenchLine> lines;
  for (const Case& each : cases) {
    for (const bool generation : {false, true}) {
      if (!generation && !with_prompt) continue;
      for (std::size_t m = 0; m < models.size(); ++m) {
        lines.push_back(line_of(each, limits[each.limits], models[m], m, generation));
      }
    }
  }
  return lines;
}

void run(Options options) {
  if (options.models.empty() && options.synthetic.empty()) {
    throw bad_usage("nothing to measure: name model directories, or a shape with --synthetic");
  }
  if (options.threads.empty()) options.threads = {thread_count()};
  std::vector<NamedModel> models = open(options);
  // Before anything is loaded: memory is then that of the models and their runs.
  BenchReport report{options.repetitions, measure_limits(options.threads), {}};
  const RunMeter meter;
  TerminalProgress progress;
  for (NamedModel& named : models) load(named, progress);
  std::vector<Case> cases = cases_of(options, report.limits.size());
  count(models, options.activations, cases);
  measure(models, report.limits, options.repetitions, cases, progress);
  report.lines = lines_of(models, report.limits, cases, options.context.empty());
  if (options.csv) return print_csv(report, meter.peak_memory());
  show(
      options.json, meter, [&] { return to_json(report); },
      [&] { print_table(report, models.size() > 1); });
}

void add_lengths(CLI::App& command, Options& options) {
  const auto add_list = [&](const char* name, auto& list, const char* help) {
    return command.add_option(name, list, help)->delimiter(',')->allow_extra_args(false);
  };
  auto* prompts = add_list("--prompt-tokens", options.prompt_tokens, "Tokens of the prompt")
                      ->default_str("512")
                      ->check(at_least(1));
  add_list("--context", options.context,
           "Instead of --prompt-tokens: tokens that are read before writing, which alone is shown")
      ->check(at_least(1))
      ->excludes(prompts);
  add_list("--tokens", options.tokens, "Tokens to write")->default_str("32")->check(at_least(2));
  add_list("--threads", options.threads, "Threads to use (default: all cores)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--repetitions", options.repetitions, "Rounds that count, after a first")
      ->capture_default_str()
      ->check(at_least(1));
}

void add_synthetic(CLI::App& command, Options& options) {
  auto* shape =
      command.add_option("--synthetic", options.synthetic,
                         fmt::format("Also measure a model of this shape with random weights: {}",
                                     fmt::join(synthetic_shapes(), ", ")));
  command.add_option("--bits", options.bits, "Of its weights: 2 to 8, or 16 for bfloat16")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->default_str("4")
      ->needs(shape);
  command.add_option("--group-size", options.group_size, "Columns of them that share a scale")
      ->capture_default_str()
      ->check(at_least(1))
      ->needs(shape);
  command
      .add_option("--sparsity", options.sparsity,
                  "Share of zeros in its blocks, stored with a bitmap; or 2:4")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->default_str("0")
      ->needs(shape);
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure how fast models read prompts and write on this machine");
  command->footer(
      "Options that take several values take them with commas between: every length is measured\n"
      "with every other and every number of threads, and every kind of synthetic weights.\n"
      "Models take turns; each round gives a ratio to the first model, and the medians stand with\n"
      "their least and most. The counts beside them are what their operations (prompt) and bytes\n"
      "(generation) would make of it.\n\n"
      "Examples:\n"
      "  terse bench models/docs-llama --prompt-tokens 128\n"
      "  terse bench models/docs-llama small --prompt-tokens 128 --json\n"
      "  terse bench --synthetic llama-1b --prompt-tokens 128,512 --tokens 32,128 --threads 1,2\n"
      "  terse bench --synthetic llama-1b --bits 4,8 --context 128,1920 --csv\n"
      "  terse bench --synthetic llama-1b --sparsity 0,0.5,2:4");
  command->add_option("models", options->models, "Model directories; the first is compared with");
  add_synthetic(*command, *options);
  add_lengths(*command, *options);
  add_activations_option(*command, options->activations);
  add_kv_cache_option(*command, options->cache);
  add_json_flag(*command, options->json);
  command->add_flag("--csv", options->csv, "Print a table of comma-separated values")
      ->excludes("--json");
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
