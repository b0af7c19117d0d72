// Options that say which text a verb reads.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace terse::cli {

/// `--text`, `--text-key` and `--tokens` for the fields texts, text_key and token_file of `text`,
/// each with `prefix` after its dashes; `use` says what the text is for.
template <class Text>
void add_text_source(CLI::App& command, Text& text, const std::string& prefix,
                     const std::string& use) {
  const std::string name = "--" + prefix + "text";
  command.add_option(name, text.texts,
                     use +
                         ": files or directories of text, each file tokenised whole (.jsonl: a "
                         "text a line)");
  command.add_option(name + "-key", text.text_key, "Key of the text in .jsonl lines")
      ->capture_default_str();
  command
      .add_option("--" + prefix + "tokens", text.token_file,
                  use + ": token ids instead of text (.npy or .json)")
      ->excludes(name);
}

}  // namespace terse::cli
