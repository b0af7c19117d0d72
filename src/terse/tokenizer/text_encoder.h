// Text to tokens as a model expects it, and texts from files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "terse/tokenizer/tokenizer.h"

namespace terse {

/// The tokenizer of a model directory with what tokenizer_config.json adds to it.
class TextEncoder {
 public:
  /// Reads tokenizer.json and, where present, tokenizer_config.json. Errors: bad_input.
  static TextEncoder load(const std::filesystem::path& directory);

  /// Tokens of a text that begins a sequence: with the begin token where the tokenizer or
  /// `add_bos_token` asks for it.
  std::vector<std::int32_t> encode(std::string_view text) const;

  /// The `eos_token` of tokenizer_config.json, where there is one.
  std::optional<std::int32_t> end_token() const { return end_token_; }

  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  explicit TextEncoder(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}

  Tokenizer tokenizer_;
  std::optional<std::int32_t> begin_token_;
  bool add_begin_token_ = false;
  std::optional<std::int32_t> end_token_;
};

/// Texts of files and directories. A file is one text; of a `.jsonl` file every line is an object
/// whose `text_key` holds one; of a directory all .txt, .md, .raw and .jsonl files below it are
/// read, in order of their names. Errors: bad_input naming the file.
std::vector<std::string> read_texts(const std::vector<std::filesystem::path>& paths,
                                    const std::string& text_key);

/// Every text tokenised whole, one after another.
std::vector<std::int32_t> encode_texts(const TextEncoder& encoder,
                                       const std::vector<std::string>& texts);

}  // namespace terse
