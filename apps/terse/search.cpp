// terse search: the recipe that makes a model as small as asked for and keeps most of it.
#include "terse/search/search.h"

#include <fmt/format.h>

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
  return {{"name", candidate.name},
          {"bytes", candidate.bytes},
          {"bits_per_weight", candidate.bits_per_weight},
          {"kl", candidate.kl.mean},
          {"kl_standard_error", candidate.kl.standard_error}};
}

Json to_json(const Options& options, const SearchReport& report) {
  Json json = {{"recipe", options.task.output.string()},
               {"best", to_json(report.candidates[report.best])},
               {"candidates", Json::array()},
               {"units", report.units},
               {"measured", report.measured},
               {"resumed", report.resumed},
               {"parameters", report.parameters},
               {"bytes_before", report.dense_bytes},
               {"notes", report.notes}};
  for (const Candidate& candidate : report.candidates) {
    json["candidates"].push_back(to_json(candidate));
  }
  return json;
}

void print(const Options& options, const SearchReport& report) {
  fmt::print("{:<24} {:>11} {:>12} {:>22}\n", "candidate", "bits/weight", "size", "KL divergence");
  for (std::size_t i = 0; i < report.candidates.size(); ++i) {
    const Candidate& c = report.candidates[i];
    fmt::print("{:<24} {:>11.3f} {:>12} {:>12.6f} +- {:.6f}{}\n", c.name, c.bits_per_weight,
               bytes_text(c.bytes), c.kl.mean, c.kl.standard_error,
               i == report.best ? "  <- " + options.task.output.string() : "");
  }
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

}  // namespace

void add_search(CLI::App& app) {
  auto options = std::make_shared<Options>();
  SearchTask& task = options->task;
  CLI::App* command = app.add_subcommand("search", "Find the recipe that keeps most of a model");
  command->add_option("model", task.input, "Model directory")->required();
  command->add_option("-o,--output", task.output, "Recipe to write")->required();
  command->add_option("--target-bpw", task.target_bits_per_weight, "Bits per weight");
  command->add_option("--calibration-tokens", task.calibration.token_file, "Token ids");
  add_text_source(*command, task.text, "", "To measure on");
  command->add_option("--measurements", task.measurements, "File");
  command->add_option("--time-limit", task.time_limit, "Seconds");
  command->add_option("--kinds", task.kinds, "Kinds")->delimiter(',');
  command->add_option("--rounds", task.rounds, "Rounds");
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
