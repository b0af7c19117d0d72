// What the tokenizer tests share.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"
#include "terse/tokenizer/tokenizer.h"

namespace terse::test {

using Ids = std::vector<std::int32_t>;

inline std::filesystem::path shared_folder() {
  const char* given = std::getenv("TERSE_SHARED");
  return given != nullptr ? std::filesystem::path(given)
                          : std::filesystem::path(TERSE_SOURCE_DIR) / ".." / "shared";
}

/// A tokenizer of a BPE model whose parts are given as JSON; `parts` are merged into the top level.
inline Json bpe_json(const Json& vocab, const Json& merges, const Json& model_options = {},
                     const Json& parts = {}) {
  Json json{{"version", "1.0"}, {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
  if (!model_options.is_null()) json["model"].update(model_options);
  if (!parts.is_null()) json.update(parts);
  return json;
}

/// A vocabulary of tokens with the ids 0, 1, ...
inline Json vocab_of(const std::vector<std::string>& tokens) {
  Json vocab = Json::object();
  for (std::size_t i = 0; i < tokens.size(); ++i) vocab[tokens[i]] = i;
  return vocab;
}

/// The tokens of a text, special ones left out.
inline std::vector<std::string> tokens_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> tokens;
  for (const std::int32_t id : tokenizer.encode(text, false)) tokens.push_back(tokenizer.token(id));
  return tokens;
}

}  // namespace terse::test
