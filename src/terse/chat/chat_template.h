// The chat template of a model directory: turns messages into the text that the model was trained
// on.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "terse/chat/template.h"

namespace terse {

class ChatTemplate {
 public:
  /// The template of a model directory: chat_template.jinja, else `chat_template` of
  /// tokenizer_config.json or of chat_template.json. Special tokens come from
  /// tokenizer_config.json. Errors: bad_input that names the file; where there is none, it says
  /// what to do.
  static ChatTemplate open(const std::filesystem::path& directory);

  /// A template by its text; `special_tokens` is an object such as {"bos_token": "<s>"}.
  static ChatTemplate parse(std::string_view text,
                            OrderedJson special_tokens = OrderedJson::object());

  /// `messages` is an array of {role, content, ...}; `extra` is an object of further variables:
  /// `tools`, `documents`, whatever the template knows. Variables that the template always sees:
  /// the special tokens, and `tools` and `documents` as none unless they are given.
  /// Errors: bad_input with the file and the line, or with the template's own message.
  std::string render(const OrderedJson& messages, bool add_generation_prompt,
                     const OrderedJson& extra = OrderedJson::object()) const;

 private:
  struct Named {
    std::string name;    // as a tokenizer_config.json with several has it
    std::string source;  // for errors
    chat::Template text;
  };

  void add(std::string name, const std::string& source, std::string_view text);
  bool add_from_json(const std::filesystem::path& path);
  const Named& choose(const OrderedJson& extra) const;

  std::vector<Named> templates_;
  OrderedJson special_tokens_ = OrderedJson::object();
};

}  // namespace terse
