// terse run: lets a model write.
#include <fmt/format.h>

#include <iostream>
#include <iterator>
#include <span>
#include <utility>

#include "activations_option.h"
#include "commands.h"
#include "kv_cache_option.h"
#include "terminal.h"
#include "terse/model/generation.h"
#include "terse/tokenizer/continuation.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse::cli {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> prompts;
  GenerationOptions generation;
  ActivationType activations = ActivationType::int8;
  bool json = false;
};

// All of standard input but a last newline, which belongs to the shell and not to the text.
std::string standard_input() {
  std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

// Prints the only sequence as it grows, after its prompt; nothing before there is something to
// print, so that a refused prompt is not shown as if it were a result.
class Streamer {
 public:
  Streamer(const Tokenizer& tokenizer, std::string prompt, std::span<const std::int32_t> ids)
      : decoder_(tokenizer, ids), prompt_(std::move(prompt)) {}

  void push(std::int32_t token) { print(decoder_.push(token)); }
  void finish() { print(decoder_.finish() + "\n"); }

 private:
  void print(const std::string& text) {
    fmt::print("{}{}", std::exchange(prompt_, ""), text);
    std::fflush(stdout);
  }

  ContinuationDecoder decoder_;
  std::string prompt_;
};

Json to_json(const Options& options, const TextEncoder& encoder, const std::vector<Prompt>& prompts,
             const std::vector<Continuation>& continuations) {
  Json results = Json::array();
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const Continuation& continuation = continuations[i];
    results.push_back(
        {{"prompt", options.prompts[i]},
         {"text", decode_continuation(encoder.tokenizer(), prompts[i].tokens, continuation.tokens)},
         {"prompt_tokens", prompts[i].tokens.size()},
         {"tokens", continuation.tokens.size()},
         {"token_ids", continuation.tokens},
         {"finish_reason", continuation.stopped ? "stop" : "length"}});
  }
  return {{"results", std::move(results)}};
}

void print_all(const Options& options, const TextEncoder& encoder,
               const std::vector<Prompt>& prompts, const std::vector<Continuation>& continuations) {
  for (std::size_t i = 0; i < continuations.size(); ++i) {
    fmt::print(
        "{}{}\n\n", options.prompts[i],
        decode_continuation(encoder.tokenizer(), prompts[i].tokens, continuations[i].tokens));
  }
}

void run(Options options) {
  const RunMeter meter;
  if (options.prompts.empty()) options.prompts.push_back(standard_input());
  options.generation.sampling.validate();
  const TextEncoder encoder = TextEncoder::load(options.model);
  const Model model = Model::load(options.model, options.activations);
  options.generation.stop_tokens = end_tokens(model.checkpoint());
  std::vector<Prompt> prompts;
  for (const std::string& prompt : options.prompts) {
    prompts.push_back({encoder.encode(prompt), options.generation.sampling.seed});
  }
  const bool stream = prompts.size() == 1 && !options.json;
  Streamer streamer(encoder.tokenizer(), options.prompts[0], prompts[0].tokens);
  const auto on_token = [&](std::size_t, std::int32_t token) {
    if (stream) streamer.push(token);
  };
  const std::vector<Continuation> continuations =
      generate(model, prompts, options.generation, on_token);
  if (stream) {
    streamer.finish();
  } else if (options.json) {
    Json json = to_json(options, encoder, prompts, continuations);
    meter.add_to(json);
    print_json(json);
  } else {
    print_all(options, encoder, prompts, continuations);
  }
}

}  // namespace

void add_run(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", "Let a model continue a text");
  command->footer(
      "Examples:\n"
      "  terse run models/docs-llama --prompt \"The command\" --max-tokens 60\n"
      "  echo \"The command\" | terse run models/docs-llama --temperature 0.8 --top-p 0.95 --seed "
      "7");
  command->add_option("model", options->model, "Model directory")->required();
  command
      ->add_option("--prompt", options->prompts,
                   "Text to continue; may be given several times, and all are computed together "
                   "(default: standard input)")
      ->allow_extra_args(false);
  GenerationOptions& generation = options->generation;
  generation.cache.type = CacheType::f16;
  command->add_option("--max-tokens", generation.max_tokens, "Tokens to write at most")
      ->capture_default_str()
      ->check(at_least(1));
  SamplingOptions& sampling = generation.sampling;
  command
      ->add_option("--temperature", sampling.temperature, "0 always takes the most probable token")
      ->capture_default_str();
  command->add_option("--top-k", sampling.top_k, "Choose among the k most probable tokens; 0: all")
      ->capture_default_str();
  command
      ->add_option("--top-p", sampling.top_p,
                   "Choose among the fewest tokens with this probability together")
      ->capture_default_str();
  command
      ->add_option("--min-p", sampling.min_p,
                   "Drop tokens below this share of the best one's probability")
      ->capture_default_str();
  command
      ->add_option("--repetition-penalty", sampling.repetition_penalty,
                   "Above 1 makes seen tokens less likely")
      ->capture_default_str();
  command->add_option("--seed", sampling.seed, "Seed of the choices")
      ->capture_default_str()
      ->check(at_least(0));
  add_activations_option(*command, options->activations);
  add_kv_cache_option(*command, generation.cache);
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
