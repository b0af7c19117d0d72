// What `terse run` reads from standard input and prints of texts.
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <iterator>

#include "run.h"
#include "terse/tokenizer/continuation.h"

namespace terse::cli {
namespace {

Json to_json(const TokenLogProbability& each, const Tokenizer& tokenizer) {
  return {{"token", token_text(tokenizer, each.id)}, {"id", each.id}, {"logprob", each.value}};
}

Json to_json(const std::vector<TokenLogProbabilities>& tokens, const Tokenizer& tokenizer) {
  Json all = Json::array();
  for (const TokenLogProbabilities& token : tokens) {
    Json best = Json::array();
    for (const TokenLogProbability& each : token.best) best.push_back(to_json(each, tokenizer));
    all.push_back(to_json(token.chosen, tokenizer));
    all.back()["top_logprobs"] = std::move(best);
  }
  return all;
}

}  // namespace

std::string standard_input() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

Json to_json(const GeneratedText& made, const TextPrompt& prompt, const Tokenizer& tokenizer) {
  const Continuation& continuation = made.continuation;
  Json json{{"text", made.text},
            {"prompt_tokens", prompt.prompt.tokens.size()},
            {"tokens", continuation.tokens.size()},
            {"token_ids", continuation.tokens},
            {"finish_reason", made.stopped() ? "stop" : "length"}};
  if (made.stop_string) json["stop"] = *made.stop_string;
  if (!continuation.log_probabilities.empty()) {
    json["logprobs"] = to_json(continuation.log_probabilities, tokenizer);
  }
  return json;
}

void print_piece(std::string_view piece) {
  fmt::print("{}", piece);
  std::fflush(stdout);
}

}  // namespace terse::cli
