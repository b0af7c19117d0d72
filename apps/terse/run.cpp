// terse run: lets a model write. Here its options; each way to use it has a file.
#include "run.h"

#include <unistd.h>

#include <memory>

#include "activations_option.h"
#include "commands.h"
#include "kv_cache_option.h"
#include "terminal.h"
#include "terse/core/error.h"

namespace terse::cli {
namespace {

constexpr const char* kExamples =
    "With neither --prompt nor --batch the text is read from standard input. At a terminal every "
    "line is a text to continue or, with --chat, a message of one conversation: /exit or the end "
    "of input ends it, /reset begins anew, Ctrl-C ends an answer.\n\n"
    "Examples:\n"
    "  terse run models/docs-llama --prompt \"The command\" --max-tokens 60\n"
    "  echo \"The command\" | terse run models/docs-llama --temperature 0.8 --top-p 0.95 --seed 7\n"
    "  terse run chat-model --chat --system \"Answer briefly.\" --prompt \"What is a file?\"\n"
    "  terse run models/docs-llama --batch prompts.jsonl --logprobs 3";

// Answers of a conversation are longer than continuations that somebody looks at.
constexpr std::int64_t kMaxTokens = 128;
constexpr std::int64_t kMaxTokensOfChat = 1024;

void check(const RunOptions& options) {
  options.generation.sampling.validate();
  if (options.generation.log_probabilities && !options.json && options.batch.empty()) {
    throw bad_usage("--logprobs has no place in plain text; give --json or --batch beside it");
  }
  if (options.seeds.size() > 1 && options.seeds.size() != options.prompts.size()) {
    throw bad_usage("{} seeds for {} prompts; expected one, or one for each prompt",
                    options.seeds.size(), options.prompts.size());
  }
}

void run(RunOptions options) {
  check(options);
  options.generation.max_tokens =
      options.max_tokens.value_or(options.chat ? kMaxTokensOfChat : kMaxTokens);
  if (options.seeds.empty()) options.seeds = {0};
  options.generation.sampling.seed = options.seeds.front();
  const bool typed = options.prompts.empty() && !options.json && ::isatty(STDIN_FILENO) != 0;
  if (!options.batch.empty()) {
    run_batch(options);
  } else if (typed) {
    run_interactive(options);
  } else {
    run_prompts(std::move(options));
  }
}

std::string not_empty(const std::string& text) {
  return text.empty() ? "expected a text that is not empty" : "";
}

void add_sampling_options(CLI::App& command, SamplingOptions& sampling) {
  command
      .add_option("--temperature", sampling.temperature, "0 always takes the most probable token")
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "Choose among the k most probable tokens; 0: all")
      ->capture_default_str();
  command
      .add_option("--top-p", sampling.top_p,
                  "Choose among the fewest tokens with this probability together")
      ->capture_default_str();
  command
      .add_option("--min-p", sampling.min_p,
                  "Drop tokens below this share of the best one's probability")
      ->capture_default_str();
  command
      .add_option("--repetition-penalty", sampling.repetition_penalty,
                  "Above 1 makes seen tokens less likely")
      ->capture_default_str();
}

void add_input_options(CLI::App& command, RunOptions& options) {
  CLI::Option* prompt =
      command
          .add_option("--prompt", options.prompts,
                      "Text to continue; may be given several times, and all are computed together")
          ->allow_extra_args(false);
  CLI::Option* chat = command.add_flag(
      "--chat", options.chat,
      "The text is a message to answer, in the form of the model's chat template; at a terminal a "
      "conversation");
  command.add_option("--system", options.system, "The system's message, before all others")
      ->needs(chat);
  CLI::Option* batch =
      command
          .add_option("--batch", options.batch,
                      "File of prompts (-: standard input), in each line {\"prompt\": text} or "
                      "{\"messages\": [...]}, with \"id\", \"seed\", \"max_tokens\" and \"stop\" "
                      "as it likes; gives a line of JSON for each, in their order")
          ->type_name("FILE.jsonl")
          ->check(not_empty)
          ->excludes(prompt)
          ->excludes(chat);
  command.add_option("--output", options.output, "File for the texts of --batch")
      ->type_name("FILE.jsonl")
      ->check(not_empty)
      ->needs(batch);
  command
      .add_option("--batch-size", options.generation.batch_size,
                  "Texts of --batch that are written at a time (default: 16)")
      ->needs(batch)
      ->check(at_least(1));
}

void add_output_options(CLI::App& command, RunOptions& options) {
  command
      .add_option("--max-tokens", options.max_tokens,
                  "Tokens to write at most (default: 128; 1024 with --chat)")
      ->check(at_least(1));
  command
      .add_option("--stop", options.stop_strings,
                  "Ends the text before this string; may be given several times")
      ->allow_extra_args(false)
      ->check(not_empty);
  command
      .add_option("--seed", options.seeds,
                  "Seed of the choices (default: 0); given several times, one for each prompt")
      ->allow_extra_args(false)
      ->check(at_least(0));
  command
      .add_option("--logprobs", options.generation.log_probabilities,
                  "With --json or --batch: log-probabilities of the new tokens, and of the N most "
                  "probable ones beside each, before temperature, filters and penalty")
      ->type_name("N")
      ->check(at_least(0));
}

}  // namespace

void add_run(CLI::App& app) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Let a model continue a text or answer");
  command->footer(kExamples);
  command->add_option("model", options->model, "Model directory")->required();
  add_input_options(*command, *options);
  add_output_options(*command, *options);
  add_sampling_options(*command, options->generation.sampling);
  add_activations_option(*command, options->activations);
  options->generation.cache.type = CacheType::f16;
  add_kv_cache_option(*command, options->generation.cache);
  add_json_flag(*command, options->json);
  command->get_option("--json")->excludes("--batch");
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
