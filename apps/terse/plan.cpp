// terse plan: what a recipe will do and take, before anything is done.
#include "terse/recipe/plan.h"

#include <fmt/format.h>

#include "commands.h"
#include "recipe_options.h"
#include "terminal.h"
#include "terse/core/text.h"

namespace terse::cli {
namespace {

struct Options {
  std::string model;
  std::string output;
  RecipeOptions recipe;
  std::uint64_t memory = 0;
  bool json = false;
};

Json memory_json(const MemoryPlan& memory) {
  return {{"peak_bytes", memory.peak()},           {"bound_bytes", memory.bound},
          {"reserved_bytes", memory.reserved},     {"embeddings_bytes", memory.embeddings},
          {"program_bytes", memory.program},       {"block_bytes", memory.block},
          {"written_bytes", memory.written},       {"statistics_bytes", memory.statistics},
          {"solving_bytes", memory.solving},       {"passing_bytes", memory.passing},
          {"held_activations_bytes", memory.held}, {"activations_bytes", memory.activations},
          {"training_bytes", memory.training},     {"generation_bytes", memory.generation}};
}

Json to_json(const Plan& plan) {
  Json json = {{"blocks", plan.blocks},
               {"parameters", plan.parameters},
               {"bytes_before", plan.bytes_before},
               {"bits_per_weight_before", plan.bits_per_weight_before},
               {"bytes", plan.bytes},
               {"bits_per_weight", plan.bits_per_weight},
               {"calibration_tokens", plan.calibration.tokens},
               {"memory", memory_json(plan.memory)},
               {"memory_limit_bytes", plan.memory_limit},
               {"disk_bytes", plan.disk},
               {"disk_free_bytes", plan.disk_free},
               {"seconds", plan.time.total()},
               {"fits", plan.fits_memory() && plan.fits_disk()},
               {"notes", plan.notes},
               {"passes", Json::array()}};
  json["time"] = {{"calibration", plan.time.calibration},
                  {"forward", plan.time.forward},
                  {"statistics", plan.time.statistics},
                  {"methods", plan.time.methods},
                  {"files", plan.time.files}};
  for (const auto& pass : plan.passes) {
    Json steps = Json::array();
    for (const PlannedStep& step : pass) {
      steps.push_back({{"method", step.method},
                       {"options", step.options},
                       {"linears", step.linears},
                       {"need", step.need}});
    }
    json["passes"].push_back(std::move(steps));
  }
  return json;
}

void print_steps(const Plan& plan) {
  for (std::size_t pass = 0; pass < plan.passes.size(); ++pass) {
    if (plan.passes.size() > 1) {
      fmt::print("pass {} of {}, over all {} blocks\n", pass + 1, plan.passes.size(), plan.blocks);
    } else {
      fmt::print("each of {} blocks\n", plan.blocks);
    }
    std::size_t number = 0;
    for (const PlannedStep& step : plan.passes[pass]) {
      fmt::print("  {}. {} {}: {} linears, needs {}\n", ++number, step.method, step.options,
                 step.linears, step.need);
    }
  }
}

void print_memory(const Plan& plan) {
  const MemoryPlan& m = plan.memory;
  fmt::print("memory       {} at its peak, never more than {}; {} may be used: {}\n",
             bytes_text(m.peak()), bytes_text(m.bound), bytes_text(plan.memory_limit),
             plan.fits_memory() ? "fits" : "does not fit");
  fmt::print(
      "             program {}, block {}, being written {}, statistics {}, methods {}, "
      "activations {}\n",
      bytes_text(m.program), bytes_text(m.block), bytes_text(m.written), bytes_text(m.statistics),
      bytes_text(std::max({m.solving, m.passing, m.training})), bytes_text(m.held));
  fmt::print(
      "             as a limit on private address space, which counts what BLAS reserves: "
      "ulimit -d {}\n",
      (m.bound + m.reserved) >> 10);
  if (m.activations > m.held) {
    fmt::print("             {} of activations go to disk\n", bytes_text(m.activations - m.held));
  }
}

void print(const Plan& plan) {
  print_steps(plan);
  if (plan.calibration.tokens > 0) {
    fmt::print("calibration  {} tokens in windows of {}{}\n", count_text(plan.calibration.tokens),
               plan.calibration.window,
               plan.calibration.self_generated ? ", which the model generates" : "");
  }
  fmt::print("output       {} -> {}, {:.3f} -> {:.3f} bits per weight\n",
             bytes_text(plan.bytes_before), bytes_text(plan.bytes), plan.bits_per_weight_before,
             plan.bits_per_weight);
  print_memory(plan);
  fmt::print("disk         {} while it runs, {} free: {}\n", bytes_text(plan.disk),
             bytes_text(plan.disk_free), plan.fits_disk() ? "fits" : "does not fit");
  fmt::print("time         about {} (forward {}, statistics {}, methods {}, files {}{})\n",
             duration_text(plan.time.total()), duration_text(plan.time.forward),
             duration_text(plan.time.statistics), duration_text(plan.time.methods),
             duration_text(plan.time.files),
             plan.time.calibration > 0
                 ? fmt::format(", generating text {}", duration_text(plan.time.calibration))
                 : "");
  for (const std::string& note : plan.notes) fmt::print("note: {}\n", note);
}

void run(const Options& options) {
  const Recipe recipe = options.recipe.recipe();
  Plan planned;
  options.recipe.blame(
      [&] { planned = plan(options.model, recipe, options.memory, options.output); });
  if (options.json) {
    print_json(to_json(planned));
  } else {
    print(planned);
  }
}

}  // namespace

void add_plan(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "plan",
      "Say what a recipe will do and take: output, memory, disk, time\n\nReads the headers "
      "of the model, and measures this machine for a few seconds.");
  command->footer(
      "Examples:\n"
      "  terse plan models/docs-llama w4-gptq --calibration-text notes.txt\n"
      "  terse plan models/docs-llama sparse50-w4 --memory 4GiB\n"
      "  terse plan models/docs-llama --method gptq --bits 3 --json");
  command->add_option("model", options->model, "Model directory")->required();
  options->output = ".";
  command
      ->add_option("--place", options->output, "Folder where the output would go, for free space")
      ->capture_default_str()
      ->check(CLI::ExistingDirectory);
  add_recipe_options(*command, options->recipe, true);
  add_memory_option(*command, options->memory);
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
