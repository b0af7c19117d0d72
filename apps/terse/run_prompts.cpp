// terse run with prompts that are all given beforehand.
#include <fmt/format.h>

#include <utility>

#include "run.h"
#include "terminal.h"
#include "terse/model/text/conversation.h"

namespace terse::cli {
namespace {

std::vector<TextPrompt> encode(const RunOptions& options, const TextEncoder& encoder) {
  std::vector<TextPrompt> prompts;
  const auto add = [&](std::vector<std::int32_t> tokens) {
    const std::size_t seed = options.seeds.size() > 1 ? prompts.size() : 0;
    prompts.push_back({{std::move(tokens), options.seeds[seed]}, options.stop_strings});
  };
  if (!options.chat) {
    for (const std::string& prompt : options.prompts) add(encoder.encode(prompt));
    return prompts;
  }
  const ChatTemplate form = ChatTemplate::open(options.model);
  for (const std::string& prompt : options.prompts) {
    OrderedJson messages = first_messages(options.system);
    add_message(messages, "user", prompt);
    add(encode_chat(form, encoder.tokenizer(), messages));
  }
  return prompts;
}

// Prints the only text as it grows, a continuation after its prompt; nothing before there is
// something to print, so that a refused prompt is not shown as if it were a result.
void stream(const RunOptions& options, const Model& model, const Tokenizer& tokenizer,
            const std::vector<TextPrompt>& prompts) {
  std::string before = options.chat ? "" : options.prompts.front();
  TextCallbacks callbacks;
  callbacks.on_text = [&](std::size_t, std::string_view piece) {
    print_piece(std::exchange(before, "") + std::string(piece));
  };
  generate_texts(model, tokenizer, prompts, options.generation, callbacks);
  print_piece(before + "\n");
}

void print_results(const RunOptions& options, const Tokenizer& tokenizer,
                   const std::vector<TextPrompt>& prompts, const std::vector<GeneratedText>& texts,
                   const RunMeter& meter) {
  Json results = Json::array();
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    results.push_back(to_json(texts[i], prompts[i], tokenizer));
    results.back()["prompt"] = options.prompts[i];
  }
  Json json{{"results", std::move(results)}};
  meter.add_to(json);
  print_json(json);
}

void print_all(const RunOptions& options, const std::vector<GeneratedText>& texts) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    fmt::print("{}{}{}\n\n", options.prompts[i], options.chat ? "\n" : "", texts[i].text);
  }
}

}  // namespace

void run_prompts(RunOptions options) {
  const RunMeter meter;
  if (options.prompts.empty()) {
    options.prompts.push_back(standard_input());
    // A last newline belongs to the shell and not to the text.
    if (options.prompts.front().ends_with('\n')) options.prompts.front().pop_back();
  }
  const TextEncoder encoder = TextEncoder::load(options.model);
  const std::vector<TextPrompt> prompts = encode(options, encoder);
  const Model model = Model::load(options.model, options.activations);
  options.generation.stop_tokens = end_tokens(model.checkpoint(), encoder);
  if (prompts.size() == 1 && !options.json) {
    return stream(options, model, encoder.tokenizer(), prompts);
  }
  const std::vector<GeneratedText> texts =
      generate_texts(model, encoder.tokenizer(), prompts, options.generation);
  if (options.json) {
    print_results(options, encoder.tokenizer(), prompts, texts, meter);
  } else {
    print_all(options, texts);
  }
}

}  // namespace terse::cli
