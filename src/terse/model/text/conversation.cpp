#include "terse/model/text/conversation.h"

#include <utility>

namespace terse {

OrderedJson first_messages(const std::string& system) {
  OrderedJson messages = OrderedJson::array();
  if (!system.empty()) add_message(messages, "system", system);
  return messages;
}

void add_message(OrderedJson& messages, const std::string& role, const std::string& content) {
  messages.push_back({{"role", role}, {"content", content}});
}

std::vector<std::int32_t> encode_chat(const ChatTemplate& form, const Tokenizer& tokenizer,
                                      const OrderedJson& messages) {
  return tokenizer.encode(form.render(messages, true), false);
}

Conversation::Conversation(Session session, const Tokenizer& tokenizer, const ChatTemplate& form,
                           std::string system)
    : session_(std::move(session)),
      tokenizer_(tokenizer),
      form_(form),
      system_(std::move(system)),
      messages_(first_messages(system_)) {}

GeneratedText Conversation::answer(const std::string& message, const GenerationOptions& options,
                                   const std::vector<std::string>& stop_strings,
                                   const TextCallbacks& callbacks) {
  OrderedJson messages = messages_;
  add_message(messages, "user", message);
  const TextPrompt prompt{{encode_chat(form_, tokenizer_, messages), options.sampling.seed},
                          stop_strings};
  GeneratedText answer = generate_text(session_, tokenizer_, prompt, options, callbacks);
  add_message(messages, "assistant", answer.text);
  messages_ = std::move(messages);
  return answer;
}

}  // namespace terse
