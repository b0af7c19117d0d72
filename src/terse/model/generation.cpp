#include "terse/model/generation.h"

#include <algorithm>
#include <limits>
#include <list>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/model/cpu_operations.h"
#include "terse/model/finite.h"

namespace terse {
namespace {

// Prompt tokens computed in one pass: bounds the memory of activations.
constexpr std::size_t kPrefillRows = 512;

// One prompt that is being continued.
struct Running {
  Running(std::size_t index_, const Prompt& prompt, const Architecture& a,
          const GenerationOptions& options)
      : index(index_),
        tokens(prompt.tokens),
        limit(token_limit(static_cast<std::int64_t>(prompt.tokens.size()), options, a)),
        cache(a, limit, true, options.cache),
        sampler(seeded(options.sampling, prompt.seed)) {}

  static std::int64_t token_limit(std::int64_t prompt, const GenerationOptions& options,
                                  const Architecture& a) {
    return prompt + std::min(options.max_tokens, a.context_length() - prompt);
  }

  static SamplingOptions seeded(SamplingOptions sampling, std::uint64_t seed) {
    sampling.seed = seed;
    return sampling;
  }

  std::size_t index;
  std::vector<std::int32_t> tokens;
  std::int64_t limit;  // tokens that the sequence may have
  KeyValueCache cache;
  Sampler sampler;
};

void check_prompt(const Prompt& prompt, const Architecture& a) {
  if (prompt.tokens.empty()) throw bad_input("the prompt has no tokens");
  if (static_cast<std::int64_t>(prompt.tokens.size()) >= a.context_length()) {
    throw bad_input("the prompt has {} tokens; the model's context is {}", prompt.tokens.size(),
                    a.context_length());
  }
}

// Fills the cache with all tokens but the last, which the first step computes.
void prefill(const Model& model, Running& sequence) {
  const std::span<const std::int32_t> tokens(sequence.tokens);
  for (std::size_t at = 0; at + 1 < tokens.size(); at += kPrefillRows) {
    Batch batch;
    batch.add(sequence.cache, tokens.subspan(at, std::min(kPrefillRows, tokens.size() - 1 - at)));
    CpuOperations operations(model, batch);
    Forward(model.architecture(), operations).hidden();
    batch.commit();
  }
}

Matrix last_token_logits(const Model& model, std::list<Running>& sequences) {
  Batch batch;
  for (Running& sequence : sequences) {
    batch.add(sequence.cache, std::span(sequence.tokens).last(1));
  }
  CpuOperations operations(model, batch);
  Matrix logits = Forward(model.architecture(), operations).logits();
  batch.commit();
  return logits;
}

}  // namespace

std::vector<Continuation> generate(const Model& model, const std::vector<Prompt>& prompts,
                                   const GenerationOptions& options,
                                   const TokenCallback& on_token) {
  options.sampling.validate();
  std::vector<Continuation> results(prompts.size());
  std::list<Running> running;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    check_prompt(prompts[i], model.architecture());
    running.emplace_back(i, prompts[i], model.architecture(), options);
    prefill(model, running.back());
  }
  const auto finished = [](const Running& s) {
    return static_cast<std::int64_t>(s.tokens.size()) >= s.limit;
  };
  running.remove_if(finished);
  while (!running.empty()) {
    const Matrix logits = last_token_logits(model, running);
    std::int64_t row = 0;
    for (auto sequence = running.begin(); sequence != running.end(); ++row) {
      const std::span<const float> row_logits(logits.row(row).data(),
                                              static_cast<std::size_t>(logits.cols()));
      if (!all_finite(row_logits)) require_finite_blocks(model, sequence->tokens);
      const std::int32_t token = sequence->sampler.next(row_logits, sequence->tokens);
      Continuation& result = results[sequence->index];
      result.stopped = std::ranges::find(options.stop_tokens, token) != options.stop_tokens.end();
      if (!result.stopped) {
        sequence->tokens.push_back(token);
        result.tokens.push_back(token);
        if (on_token) on_token(sequence->index, token);
      }
      sequence =
          result.stopped || finished(*sequence) ? running.erase(sequence) : std::next(sequence);
    }
  }
  return results;
}

std::vector<std::int32_t> end_tokens(const Checkpoint& checkpoint) {
  Json ids = checkpoint.config().value("eos_token_id", Json());
  const std::filesystem::path path = checkpoint.dir() / "generation_config.json";
  if (std::filesystem::exists(path)) {
    const Json config = read_json(path);
    if (has_key(config, "eos_token_id")) ids = config.at("eos_token_id");
  }
  if (ids.is_number_integer()) ids = Json::array({ids});
  std::vector<std::int32_t> tokens;
  if (!ids.is_array()) return tokens;
  for (const Json& id : ids) {
    if (!id.is_number_integer() || id < 0 || id > std::numeric_limits<std::int32_t>::max()) {
      throw bad_input("{}: eos_token_id holds {}; expected token ids", checkpoint.dir().string(),
                      id.dump());
    }
    tokens.push_back(id.get<std::int32_t>());
  }
  return tokens;
}

}  // namespace terse
