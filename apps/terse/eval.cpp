// terse eval: numbers about a model's quality.
#include <fmt/format.h>

#include "activations_option.h"
#include "commands.h"
#include "kv_cache_option.h"
#include "terminal.h"
#include "terse/eval/divergence.h"
#include "terse/eval/perplexity.h"
#include "terse/eval/scored_text.h"
#include "text_source.h"

namespace terse::cli {
namespace {

struct TextOptions {
  ScoredText text;
  ActivationType activations = ActivationType::f32;
  CacheOptions cache;
  bool json = false;
};

struct PerplexityOptions : TextOptions {
  std::string model;
};

struct DivergenceOptions : TextOptions {
  std::string base;
  std::string model;
};

void add_text_options(CLI::App& command, TextOptions& options) {
  add_text_source(command, options.text, "", "To score on");
  command
      .add_option("--window", options.text.window,
                  "Tokens of a window (default: the model's context, up to 2048, or the rows of a "
                  "matrix of token ids)")
      ->check(at_least(1));
  command
      .add_option("--stride", options.text.stride,
                  "A window every so many tokens, each token scored once (default: windows side by "
                  "side, as "
                  "GPTQ, SparseGPT and Wanda publish)")
      ->check(at_least(1));
  command
      .add_option("--samples", options.text.samples,
                  "Score only so many windows, spread evenly over the text (default: all)")
      ->check(at_least(1));
  add_activations_option(command, options.activations);
  add_kv_cache_option(command, options.cache);
  add_json_flag(command, options.json);
}

Json to_json(const PerplexityResult& result) {
  return {{"perplexity", result.perplexity}, {"standard_error", result.standard_error},
          {"loss", result.loss.mean},        {"loss_standard_error", result.loss.standard_error},
          {"tokens", result.tokens},         {"windows", result.windows}};
}

void print(const PerplexityResult& result, double seconds) {
  fmt::print("perplexity {:.5f} +- {:.5f}  (loss {:.6f} nats per token, {} tokens in {} windows)\n",
             result.perplexity, result.standard_error, result.loss.mean, count_text(result.tokens),
             result.windows);
  print_rate(result.tokens, seconds);
}

void score(const PerplexityOptions& options) {
  const RunMeter meter;
  TerminalProgress progress;
  Model model = Model::open(options.model, options.activations);
  const Windows windows = read_windows(options.text, model);
  model.load_all();
  const PerplexityResult result = perplexity(model, windows, progress, options.cache);
  show(
      options.json, meter, [&] { return to_json(result); },
      [&] { print(result, meter.seconds()); });
}

Json to_json(const DivergenceResult& result) {
  return {{"kl", result.kl.mean},
          {"kl_standard_error", result.kl.standard_error},
          {"kl_99", result.kl_99},
          {"top1_agreement", result.top1.mean},
          {"top1_standard_error", result.top1.standard_error},
          {"loss_difference", result.loss_difference.mean},
          {"loss_difference_standard_error", result.loss_difference.standard_error},
          {"base_perplexity", result.base_perplexity},
          {"perplexity", result.perplexity},
          {"tokens", result.tokens},
          {"windows", result.windows},
          {"window_kl", result.window_kl},
          {"window_tokens", result.window_positions}};
}

void print(const DivergenceResult& result) {
  fmt::print("KL divergence     {:.6f} +- {:.6f} nats per token, 99th percentile {:.6f}\n",
             result.kl.mean, result.kl.standard_error, result.kl_99);
  fmt::print("top-1 agreement   {:.2f} % +- {:.2f}\n", 100 * result.top1.mean,
             100 * result.top1.standard_error);
  fmt::print("loss difference   {:+.6f} +- {:.6f} nats per token, paired\n",
             result.loss_difference.mean, result.loss_difference.standard_error);
  fmt::print("perplexity        {:.5f}, base {:.5f}  ({} tokens in {} windows)\n",
             result.perplexity, result.base_perplexity, count_text(result.tokens), result.windows);
}

void compare(const DivergenceOptions& options) {
  const RunMeter meter;
  TerminalProgress progress;
  Model base = Model::open(options.base, options.activations);
  Model model = Model::open(options.model, options.activations);
  const Windows windows = read_windows(options.text, base);
  base.load_all();
  model.load_all();
  const DivergenceResult result = divergence(base, model, windows, progress, options.cache);
  show(
      options.json, meter, [&] { return to_json(result); }, [&] { print(result); });
}

void add_perplexity(CLI::App& eval) {
  auto options = std::make_shared<PerplexityOptions>();
  CLI::App* command =
      eval.add_subcommand("perplexity", "Perplexity on a text, with its standard error");
  command->footer(
      "Examples:\n"
      "  terse eval perplexity models/docs-llama --text notes.txt\n"
      "  terse eval perplexity models/docs-llama --tokens ids.npy --window 256 --json");
  command->add_option("model", options->model, "Model directory")->required();
  add_text_options(*command, *options);
  command->callback([options] { score(*options); });
}

void add_divergence(CLI::App& eval) {
  auto options = std::make_shared<DivergenceOptions>();
  CLI::App* command = eval.add_subcommand(
      "divergence", "KL divergence, top-1 agreement and paired loss difference between two models");
  command->footer("Example:\n  terse eval divergence models/docs-llama w4 --text notes.txt");
  command->add_option("base", options->base, "Model directory of the dense model")->required();
  command->add_option("model", options->model, "Model directory of the compressed model")
      ->required();
  add_text_options(*command, *options);
  command->callback([options] { compare(*options); });
}

}  // namespace

void add_eval(CLI::App& app) {
  CLI::App* eval = app.add_subcommand("eval", "Measure a model's quality");
  eval->require_subcommand(1);
  add_perplexity(*eval);
  add_divergence(*eval);
}

}  // namespace terse::cli
