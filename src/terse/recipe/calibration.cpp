#include "terse/recipe/calibration.h"

#include <algorithm>

#include "terse/core/error.h"
#include "terse/core/random.h"
#include "terse/formats/npy.h"
#include "terse/model/generation.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse {
namespace {

constexpr std::int64_t kCacheBudget = 512 << 20;  // bytes of keys and values while generating

std::vector<std::int32_t> part(const std::vector<std::int32_t>& ids, std::size_t begin,
                               std::int64_t size) {
  const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
  return {first, first + size};
}

// Random places, as the published implementations do.
CalibrationTokens from_text(const CalibrationSettings& settings, const Model& model,
                            std::int64_t window) {
  const TextEncoder encoder = TextEncoder::load(model.checkpoint().dir());
  const std::vector<std::int32_t> ids =
      encode_texts(encoder, read_texts(settings.texts, settings.text_key));
  if (static_cast<std::int64_t>(ids.size()) < window) {
    throw bad_input(
        "the calibration text has {} tokens, fewer than one window of {}; give more text or a "
        "smaller --calibration-window",
        ids.size(), window);
  }
  CalibrationTokens tokens{window, {}, "text"};
  Random random(settings.seed);
  for (std::int64_t i = 0; i < settings.samples; ++i) {
    tokens.windows.push_back(
        part(ids, random.below(ids.size() - static_cast<std::size_t>(window) + 1), window));
  }
  return tokens;
}

void check_window(std::int64_t window, std::int64_t context) {
  if (window >= 2 && window <= context) return;
  throw bad_usage("a calibration window of {} tokens does not fit the model's context of {}",
                  window, context);
}

CalibrationTokens from_token_file(const CalibrationSettings& settings, const Architecture& a,
                                  std::int64_t window) {
  const TokenArray array = read_token_ids(settings.token_file, a.vocab_size);
  if (settings.window == 0 && array.shape.size() == 2) window = array.shape[1];
  check_window(window, a.context_length());
  CalibrationTokens tokens{window, {}, "token ids"};
  const auto size = static_cast<std::size_t>(window);
  for (std::size_t at = 0; at + size <= array.ids.size(); at += size) {
    if (static_cast<std::int64_t>(tokens.windows.size()) == settings.samples) break;
    tokens.windows.push_back(part(array.ids, at, window));
  }
  if (tokens.windows.empty()) {
    throw bad_input("{}: holds {} token ids, fewer than one window of {}",
                    settings.token_file.string(), array.ids.size(), window);
  }
  return tokens;
}

std::int64_t checked_window(const CalibrationSettings& settings, const Architecture& a) {
  const std::int64_t window = settings.window > 0 ? settings.window : a.default_window();
  if (settings.samples < 1) {
    throw bad_usage("calibration needs at least one sample, found {}", settings.samples);
  }
  check_window(window, a.context_length());
  return window;
}

// What a text begins with: the begin token, or the end token that separates texts.
std::int32_t first_token(const Model& model) {
  const Json& config = model.checkpoint().config();
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    if (!has_key(config, key) || !config.at(key).is_number_integer()) continue;
    const std::int64_t id = get_integer(config, key);
    if (id >= 0 && id < model.architecture().vocab_size) return static_cast<std::int32_t>(id);
  }
  return 0;
}

// LLM-QAT (Liu et al., arXiv 2305.17888), section 3.1: data that the model generates itself.
CalibrationTokens self_generated(const CalibrationSettings& settings, Model& model,
                                 std::int64_t window, Progress& progress) {
  CalibrationTokens tokens{window, {}, "self-generated"};
  model.load_all();
  GenerationOptions options;
  options.max_tokens = window - 1;
  options.sampling.temperature = 1.0;
  const std::int64_t group = generated_together(model.architecture(), window);
  progress.begin("writing calibration text", settings.samples * (window - 1), "tokens");
  for (std::int64_t first = 0; first < settings.samples; first += group) {
    std::vector<Prompt> prompts;
    for (std::int64_t i = first; i < std::min(settings.samples, first + group); ++i) {
      prompts.push_back(
          {{first_token(model)}, Random(settings.seed + static_cast<std::uint64_t>(i)).next()});
    }
    const auto count = [&](std::size_t, std::int32_t) { progress.advance(1); };
    for (Continuation& continuation : generate(model, prompts, options, count)) {
      continuation.tokens.insert(continuation.tokens.begin(), first_token(model));
      tokens.windows.push_back(std::move(continuation.tokens));
    }
  }
  progress.end();
  for (std::int64_t i = 0; i < model.architecture().num_hidden_layers; ++i) model.unload_block(i);
  return tokens;
}

}  // namespace

std::int64_t generated_together(const Architecture& a, std::int64_t window) {
  const std::int64_t bytes = std::max<std::int64_t>(1, a.all_key_features() * window * 8);
  return std::clamp<std::int64_t>(kCacheBudget / bytes, 1, 64);
}

CalibrationSize expected_calibration(const CalibrationSettings& settings, const Architecture& a) {
  const std::int64_t window = checked_window(settings, a);
  if (!settings.token_file.empty()) {
    const CalibrationTokens tokens = from_token_file(settings, a, window);
    return {tokens.tokens(), tokens.window};
  }
  return {settings.samples * window, window, settings.texts.empty()};
}

CalibrationTokens calibration_tokens(const CalibrationSettings& settings, Model& model,
                                     Progress& progress) {
  const std::int64_t window = checked_window(settings, model.architecture());
  if (!settings.token_file.empty()) {
    return from_token_file(settings, model.architecture(), window);
  }
  if (!settings.texts.empty()) return from_text(settings, model, window);
  return self_generated(settings, model, window, progress);
}

void check_tokens(const CalibrationTokens& tokens, const Model& model) {
  const Architecture& a = model.architecture();
  const auto is_word = [&](std::int32_t id) { return id >= 0 && id < a.vocab_size; };
  const bool fit = tokens.window >= 2 && tokens.window <= a.context_length() &&
                   !tokens.windows.empty() &&
                   std::ranges::all_of(tokens.windows, [&](const std::vector<std::int32_t>& ids) {
                     return static_cast<std::int64_t>(ids.size()) == tokens.window &&
                            std::ranges::all_of(ids, is_word);
                   });
  if (!fit) throw bad_input("the calibration tokens are not of this model; use --restart");
}

}  // namespace terse
