// What the ways to use `terse run` share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "terse/core/json.h"
#include "terse/model/model.h"
#include "terse/model/text/text_generation.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse::cli {

struct RunOptions {
  std::string model;
  std::vector<std::string> prompts;
  bool chat = false;
  std::string system;
  std::string batch;  // a file, or "-"; empty: none
  std::filesystem::path output;
  std::optional<std::int64_t> max_tokens;
  std::vector<std::uint64_t> seeds;  // none, one, or one for each prompt
  std::vector<std::string> stop_strings;
  GenerationOptions generation;
  ActivationType activations = ActivationType::int8;
  bool json = false;
};

/// Prompts that are all given beforehand: with --prompt or as standard input.
void run_prompts(RunOptions options);

/// A terminal at which prompts are typed.
void run_interactive(const RunOptions& options);

/// A file of prompts.
void run_batch(const RunOptions& options);

/// All of standard input.
std::string standard_input();

/// What --json and --batch say of a text.
Json to_json(const GeneratedText& made, const TextPrompt& prompt, const Tokenizer& tokenizer);

/// Prints a piece of a text that is not complete yet.
void print_piece(std::string_view piece);

}  // namespace terse::cli
