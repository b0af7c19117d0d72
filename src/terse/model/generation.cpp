#include "terse/model/generation.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <list>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/model/finite.h"

namespace terse {
namespace {

// A sequence that is being continued.
struct Running {
  std::size_t index;   // of its prompt
  std::int64_t limit;  // tokens that it may have
  Session* session;
  Sampler sampler;
};

SamplingOptions seeded(SamplingOptions sampling, std::uint64_t seed) {
  sampling.seed = seed;
  return sampling;
}

// Continues prompts in sessions: each takes the next prompt when its sequence ends.
class Generation {
 public:
  Generation(const Model& model, std::span<const Prompt> prompts, const GenerationOptions& options,
             const GenerationCallbacks& callbacks);

  // In sessions of its own.
  std::vector<Continuation> run();
  // In one that is kept.
  std::vector<Continuation> run_in(Session& session);

 private:
  std::int64_t limit_of(const Prompt& prompt) const;
  void start_next(Session& session, std::int64_t room = 0);
  void step();
  bool advance(Running& sequence, std::span<const float> logits);
  void end(std::size_t index);

  const Model& model_;
  std::span<const Prompt> prompts_;
  const GenerationOptions& options_;
  const GenerationCallbacks& callbacks_;
  std::size_t next_ = 0;  // prompt to start
  std::vector<Running> running_;
  std::vector<Continuation> results_;
};

Generation::Generation(const Model& model, std::span<const Prompt> prompts,
                       const GenerationOptions& options, const GenerationCallbacks& callbacks)
    : model_(model),
      prompts_(prompts),
      options_(options),
      callbacks_(callbacks),
      results_(prompts.size()) {
  options.sampling.validate();
  for (const Prompt& prompt : prompts) check_prompt(prompt.tokens, model.architecture());
}

std::vector<Continuation> Generation::run() {
  const std::size_t together =
      options_.batch_size > 0 ? static_cast<std::size_t>(options_.batch_size) : prompts_.size();
  std::list<Session> sessions;
  while (next_ < prompts_.size() && sessions.size() < together) {
    start_next(sessions.emplace_back(model_, options_.cache));
  }
  while (!running_.empty()) step();
  return std::move(results_);
}

std::vector<Continuation> Generation::run_in(Session& session) {
  // The next power of two: a conversation that grows is computed anew a few times only.
  const auto least = static_cast<std::uint64_t>(limit_of(prompts_.front()));
  const auto room = static_cast<std::int64_t>(std::bit_ceil(least));
  start_next(session, std::min(room, model_.architecture().context_length()));
  while (!running_.empty()) step();
  return std::move(results_);
}

std::int64_t Generation::limit_of(const Prompt& prompt) const {
  const auto size = static_cast<std::int64_t>(prompt.tokens.size());
  return size + std::min(prompt.max_tokens.value_or(options_.max_tokens),
                         model_.architecture().context_length() - size);
}

void Generation::start_next(Session& session, std::int64_t room) {
  while (next_ < prompts_.size()) {
    const std::size_t index = next_++;
    const Prompt& prompt = prompts_[index];
    const std::int64_t limit = limit_of(prompt);
    if (limit == static_cast<std::int64_t>(prompt.tokens.size())) {
      end(index);
      continue;
    }
    session.begin(prompt.tokens, limit, room);
    running_.push_back({index, limit, &session, Sampler(seeded(options_.sampling, prompt.seed))});
    return;
  }
}

void Generation::step() {
  std::vector<Session*> sessions;
  for (const Running& sequence : running_) sessions.push_back(sequence.session);
  const Matrix logits = next_logits(sessions);
  std::vector<Running> still;
  std::vector<Session*> idle;
  for (std::size_t i = 0; i < running_.size(); ++i) {
    Running& sequence = running_[i];
    const auto row = logits.row(static_cast<std::int64_t>(i));
    if (advance(sequence, {row.data(), static_cast<std::size_t>(row.size())})) {
      still.push_back(sequence);
    } else {
      end(sequence.index);
      idle.push_back(sequence.session);
    }
  }
  running_ = std::move(still);
  for (Session* session : idle) start_next(*session);
}

// Chooses the next token; false when it was the last one or a stop token.
bool Generation::advance(Running& sequence, std::span<const float> logits) {
  Session& session = *sequence.session;
  if (!all_finite(logits)) require_finite_blocks(model_, session.tokens());
  const std::int32_t token = sequence.sampler.next(logits, session.tokens());
  Continuation& result = results_[sequence.index];
  if (std::ranges::find(options_.stop_tokens, token) != options_.stop_tokens.end()) {
    result.end = EndReason::stop_token;
    return false;
  }
  session.push(token);
  result.tokens.push_back(token);
  if (options_.log_probabilities) {
    result.log_probabilities.push_back(
        log_probabilities(logits, token, *options_.log_probabilities));
  }
  if (callbacks_.on_token && !callbacks_.on_token(sequence.index, token)) {
    result.end = EndReason::callback;
    return false;
  }
  return static_cast<std::int64_t>(session.tokens().size()) < sequence.limit;
}

void Generation::end(std::size_t index) {
  if (callbacks_.on_end) callbacks_.on_end(index, results_[index]);
}

}  // namespace

std::vector<Continuation> generate(const Model& model, const std::vector<Prompt>& prompts,
                                   const GenerationOptions& options,
                                   const GenerationCallbacks& callbacks) {
  return Generation(model, prompts, options, callbacks).run();
}

std::vector<Continuation> generate(const Model& model, const std::vector<Prompt>& prompts,
                                   const GenerationOptions& options,
                                   const TokenCallback& on_token) {
  GenerationCallbacks callbacks;
  callbacks.on_token = [&](std::size_t sequence, std::int32_t token) {
    if (on_token) on_token(sequence, token);
    return true;
  };
  return generate(model, prompts, options, callbacks);
}

Continuation generate(Session& session, const Prompt& prompt, const GenerationOptions& options,
                      const GenerationCallbacks& callbacks) {
  return Generation(session.model(), {&prompt, 1}, options, callbacks).run_in(session).front();
}

void check_prompt(const std::vector<std::int32_t>& tokens, const Architecture& architecture) {
  if (tokens.empty()) throw bad_input("the prompt has no tokens");
  if (static_cast<std::int64_t>(tokens.size()) >= architecture.context_length()) {
    throw bad_input("the prompt has {} tokens; the model's context is {}", tokens.size(),
                    architecture.context_length());
  }
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
