// terse search: the recipe that makes a model as small as asked for and keeps most of it.
#include "terse/search/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "commands.h"
#include "terminal.h"
#include "terse/core/text.h"
#include "terse/search/choice.h"
#include "text_source.h"

namespace terse::cli {
namespace {

struct Options {
  SearchTask task;
  bool json = false;
};

Json to_json(const Candidate& candidate) {
  Json json = {{"name", candidate.name},
               {"bytes", candidate.sizes.stored},
               {"bits_per_weight", candidate.bits_per_weight},
               {"bytes_in_memory", candidate.sizes.held},
               {"expected_kl", candidate.expected_kl},
               {"kl", candidate.kl.mean},
               {"kl_standard_error", candidate.kl.standard_error}};
  if (candidate.token_seconds > 0) json["token_seconds"] = candidate.token_seconds;
  return json;
}

Json to_json(const Options& options, const SearchReport& report) {
  Json json = {{"recipe", options.task.output.string()},
               {"best", to_json(report.candidates[report.best])},
               {"candidates", Json::array()},
               {"units", report.units},
               {"measured", report.measured},
               {"known", report.known},
               {"parameters", report.parameters},
               {"bytes_before", report.before.stored},
               {"bytes_in_memory_before", report.before.held},
               {"notes", report.notes}};
  if (report.token_seconds_before > 0) json["token_seconds_before"] = report.token_seconds_before;
  for (const Candidate& candidate : report.candidates) {
    json["candidates"].push_back(to_json(candidate));
  }
  return json;
}

// What the goal is about: bytes, or seconds of a token.
double amount(const Options& options, const Candidate& candidate) {
  const Resource resource = options.task.goal.resource();
  return resource == Resource::time ? candidate.token_seconds
                                    : static_cast<double>(candidate.sizes.of(resource));
}

// Whether no other candidate takes less and is nearer to the dense model.
bool is_undominated(const Options& options, const SearchReport& report, const Candidate& one) {
  const double mine = amount(options, one);
  return std::ranges::none_of(report.candidates, [&](const Candidate& other) {
    const double theirs = amount(options, other);
    return theirs <= mine && other.kl.mean <= one.kl.mean &&
           (theirs < mine || other.kl.mean < one.kl.mean);
  });
}

// The column of what is bounded or made small besides the size, if anything is.
std::string amount_text(const Options& options, const Sizes& sizes, double token_seconds) {
  switch (options.task.goal.resource()) {
    case Resource::size:
      return "";
    case Resource::memory:
      return fmt::format("{:>12}", bytes_text(sizes.held));
    case Resource::time:
      return fmt::format("{:>12.3f}", 1e3 * token_seconds);
  }
  return "";
}

const char* amount_title(const Options& options) {
  switch (options.task.goal.resource()) {
    case Resource::size:
      return "";
    case Resource::memory:
      return "   in memory";
    case Resource::time:
      return "    ms/token";
  }
  return "";
}

void print(const Options& options, const SearchReport& report) {
  fmt::print("{:<24}{:>12}{:>12}{}{:>12}{:>24}\n", "candidate", "bits/weight", "size",
             amount_title(options), "expected", "KL divergence");
  for (std::size_t i = 0; i < report.candidates.size(); ++i) {
    const Candidate& c = report.candidates[i];
    fmt::print("{:<24}{:>12.3f}{:>12}{}{:>12.6f}{:>12.6f} +- {:.6f}{}{}\n", c.name,
               c.bits_per_weight, bytes_text(c.sizes.stored),
               amount_text(options, c.sizes, c.token_seconds), c.expected_kl, c.kl.mean,
               c.kl.standard_error, is_undominated(options, report, c) ? "  Pareto" : "",
               i == report.best ? ", written" : "");
  }
  fmt::print(
      "{:<24}{:>12.3f}{:>12}{}\n", "the model as it is",
      8.0 * static_cast<double>(report.before.stored) / static_cast<double>(report.parameters),
      bytes_text(report.before.stored),
      amount_text(options, report.before, report.token_seconds_before));
  fmt::print("\n{}: {} choices for {} units measured{}; KL in nats per token\n",
             options.task.output.string(), count_text(report.measured), report.units,
             report.known > 0
                 ? fmt::format(", {} known from an earlier run", count_text(report.known))
                 : "");
  for (const std::string& note : report.notes) fmt::print("note: {}\n", note);
}

void run(const Options& options) {
  const RunMeter meter;
  TerminalProgress progress;
  const SearchReport report = search(options.task, progress);
  show(
      options.json, meter, [&] { return to_json(options, report); },
      [&] { print(options, report); });
}

// A number in seconds, or with one of these units.
CLI::Validator time_in(const std::map<std::string, double>& units) {
  return CLI::AsNumberWithUnit(
      units, CLI::AsNumberWithUnit::Options(CLI::AsNumberWithUnit::CASE_SENSITIVE |
                                            CLI::AsNumberWithUnit::UNIT_OPTIONAL));
}

void add_goal(CLI::App& command, SearchGoal& goal) {
  const std::string group = "Goal, one of these";
  command
      .add_option("--target-bpw", goal.bits_per_weight,
                  "Bits per weight at most, over the whole model: the least KL divergence")
      ->check(CLI::PositiveNumber)
      ->group(group);
  command
      .add_option("--target-size", goal.bytes,
                  "Bytes of all weights at most, such as 3MB: the least KL divergence")
      ->transform(CLI::AsSizeValue(true))
      ->group(group);
  command
      .add_option("--target-memory", goal.memory,
                  "Bytes at most, such as 2GB, of the weights as they are held in memory while the "
                  "model runs: the least KL divergence")
      ->transform(CLI::AsSizeValue(true))
      ->group(group);
  command
      .add_option("--target-time", goal.token_seconds,
                  "Time at most, such as 20ms, for a token that the model writes on this machine: "
                  "the least KL divergence")
      ->transform(time_in({{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}}))
      ->check(CLI::PositiveNumber)
      ->group(group);
  command
      .add_option("--max-kl", goal.max_kl,
                  "KL divergence at most, in nats per token: the least of the objective")
      ->check(CLI::PositiveNumber)
      ->group(group);
  const std::map<std::string, SearchObjective> objectives{{"kl", SearchObjective::kl},
                                                          {"size", SearchObjective::size},
                                                          {"memory", SearchObjective::memory},
                                                          {"time", SearchObjective::time}};
  command
      .add_option("--objective", goal.objective,
                  "What is to be small: kl within a target (default) or, within --max-kl, size "
                  "(default), memory or time")
      ->transform(CLI::CheckedTransformer(objectives));
}

void add_calibration(CLI::App& command, CalibrationSettings& calibration) {
  add_text_source(command, calibration, "calibration-", "To calibrate on");
  command.add_option("--calibration-samples", calibration.samples, "Windows of it")
      ->check(at_least(1))
      ->capture_default_str();
  command
      .add_option("--calibration-window", calibration.window,
                  "Tokens of a window (default: the model's context, up to 2048)")
      ->check(at_least(2));
  command.add_option("--calibration-seed", calibration.seed, "Seed of the choice of windows")
      ->capture_default_str();
}

void add_measuring(CLI::App& command, SearchTask& task) {
  add_text_source(command, task.text, "",
                  "To measure divergence on (default: text that the model "
                  "writes itself)");
  command
      .add_option("--window", task.text.window,
                  "Tokens of a window (default: the model's context, up to 2048, or the rows of a "
                  "matrix of token ids)")
      ->check(at_least(2));
  command
      .add_option("--samples", task.samples,
                  "Windows that candidates are measured on, spread evenly over the text")
      ->check(at_least(2))
      ->capture_default_str();
  command
      .add_option("--survey-samples", task.survey_samples,
                  "The windows of them that single choices are measured on")
      ->check(at_least(1))
      ->capture_default_str();
}

void add_work(CLI::App& command, SearchTask& task) {
  command
      .add_option(
          "--kinds", task.kinds,
          "Kinds of choices, with commas between them (default: all that keep the shape of the "
          "model; see below)")
      ->delimiter(',');
  command.add_flag_callback(
      "--no-learned-rounding", [&task] { task.learned_rounding = false; },
      "Do not try AutoRound in the place of GPTQ");
  command
      .add_option("--time-limit", task.time_limit,
                  "Time to search, such as 20min: units are cut coarser and candidates left "
                  "out to keep it")
      ->transform(time_in({{"s", 1}, {"min", 60}, {"h", 3600}}))
      ->check(CLI::PositiveNumber);
  command.add_option("--measurements", task.measurements,
                     "File for what is measured, which searches of other goals on the same texts "
                     "use (default: beside the recipe, until that is written)");
  command.add_flag("--force", task.force, "Replace the recipe if it exists");
  command.add_flag("--restart", task.restart, "Forget what an unfinished search has measured");
}

std::string kind_list() {
  std::string list;
  for (const auto& [name, kind] : choice_kinds()) {
    list += fmt::format("  {}: {}{}\n", name, kind.summary,
                        kind.must_be_named() ? " (where --kinds names it)" : "");
  }
  return list;
}

}  // namespace

void add_search(CLI::App& app) {
  auto options = std::make_shared<Options>();
  SearchTask& task = options->task;
  CLI::App* command = app.add_subcommand(
      "search",
      "Find the recipe that keeps most of a model at a size\n\nMeasures what each choice for each "
      "linear does to the model's predictions, shares the bits out, makes the recipes that look "
      "best, measures them and writes the best one.");
  command->footer("Kinds of choices:\n" + kind_list() +
                  "\nExamples:\n"
                  "  terse search models/docs-llama -o w4.yaml --target-bpw 4 --calibration-text "
                  "notes.txt\n"
                  "  terse search models/docs-llama -o small.yaml --target-size 2MB --kinds "
                  "bits,embeddings\n"
                  "  terse search models/docs-llama -o near.yaml --max-kl 0.01 --time-limit 20min\n"
                  "  terse search models/docs-llama -o tiny.yaml --target-size 1.2MB --kinds "
                  "bits,embeddings,width,depth\n"
                  "  terse search models/docs-llama -o fast.yaml --target-time 0.4ms --kinds "
                  "width,depth\n"
                  "  terse compress models/docs-llama -o w4 --recipe w4.yaml\n"
                  "A search that was ended goes on when the same command is given again.");
  command->add_option("model", task.input, "Model directory")->required();
  command->add_option("-o,--output", task.output, "Recipe to write (.yaml)")->required();
  add_goal(*command, task.goal);
  add_calibration(*command, task.calibration);
  add_measuring(*command, task);
  add_work(*command, task);
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
