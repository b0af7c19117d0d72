// terse run at a terminal: every line is a text to continue, or a message of one conversation.
#include <fmt/format.h>

#include <functional>
#include <iostream>
#include <optional>

#include "interrupt.h"
#include "run.h"
#include "terse/core/error.h"
#include "terse/model/text/conversation.h"

namespace terse::cli {
namespace {

// What is typed at the terminal, and what becomes of it. All but the texts of the model goes to
// standard error, so that standard output may be a file.
struct Dialogue {
  std::function<GeneratedText(const std::string&, const TextCallbacks&)> answer;
  std::function<void()> reset;
};

std::optional<std::string> next_line() {
  fmt::print(stderr, "> ");
  std::string line;
  if (std::getline(std::cin, line)) return line;
  fmt::print(stderr, "\n");
  return std::nullopt;
}

void answer(const Dialogue& dialogue, const std::string& line) {
  const InterruptGuard guard;
  TextCallbacks callbacks;
  callbacks.on_text = [](std::size_t, std::string_view piece) { print_piece(piece); };
  callbacks.interrupted = [&] { return guard.interrupted(); };
  try {
    const GeneratedText made = dialogue.answer(line, callbacks);
    print_piece("\n");
    if (made.continuation.end == EndReason::limit) {
      fmt::print(stderr, "[cut off after {} tokens by --max-tokens or the model's context]\n",
                 made.continuation.tokens.size());
    }
  } catch (const Error& error) {
    // Wrong input of one line (too long, refused by the template) need not end the others.
    if (error.kind() != ErrorKind::bad_input) throw;
    fmt::print(stderr, "terse: {}\n", error.what());
  }
}

void converse(const Dialogue& dialogue) {
  while (const std::optional<std::string> line = next_line()) {
    if (*line == "/exit") return;
    if (*line == "/reset") {
      dialogue.reset();
    } else if (!line->empty()) {
      answer(dialogue, *line);
    }
  }
}

void chat(const RunOptions& options, const Model& model, const Tokenizer& tokenizer,
          const ChatTemplate& form) {
  Conversation conversation(Session(model, options.generation.cache), tokenizer, form,
                            options.system);
  converse({[&](const std::string& line, const TextCallbacks& callbacks) {
              return conversation.answer(line, options.generation, options.stop_strings, callbacks);
            },
            [&] { conversation.reset(); }});
}

void continue_lines(const RunOptions& options, const Model& model, const TextEncoder& encoder) {
  Session session(model, options.generation.cache);
  converse({[&](const std::string& line, const TextCallbacks& callbacks) {
              const TextPrompt prompt{{encoder.encode(line), options.generation.sampling.seed},
                                      options.stop_strings};
              return generate_text(session, encoder.tokenizer(), prompt, options.generation,
                                   callbacks);
            },
            [] {}});
}

}  // namespace

void run_interactive(const RunOptions& given) {
  RunOptions options = given;
  const TextEncoder encoder = TextEncoder::load(options.model);
  std::optional<ChatTemplate> form;
  if (options.chat) form = ChatTemplate::open(options.model);
  const Model model = Model::load(options.model, options.activations);
  options.generation.stop_tokens = end_tokens(model.checkpoint(), encoder);
  fmt::print(stderr, "{}; /exit or Ctrl-D ends, {}Ctrl-C ends {}.\n",
             options.chat ? "A conversation" : "Every line is a text to continue (--chat answers)",
             options.chat ? "/reset begins anew, " : "", options.chat ? "an answer" : "a text");
  if (form) {
    chat(options, model, encoder.tokenizer(), *form);
  } else {
    continue_lines(options, model, encoder);
  }
}

}  // namespace terse::cli
