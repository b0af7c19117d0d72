// A conversation with a model: messages in the form that its chat template gives them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "terse/chat/chat_template.h"
#include "terse/model/text/text_generation.h"

namespace terse {

/// The beginning of a conversation: the system's message, unless it is empty.
OrderedJson first_messages(const std::string& system);

void add_message(OrderedJson& messages, const std::string& role, const std::string& content);

/// The tokens of messages, up to where the model's answer begins. Special tokens that the template
/// writes are encoded as such; none is added to them. Errors: as ChatTemplate::render.
std::vector<std::int32_t> encode_chat(const ChatTemplate& form, const Tokenizer& tokenizer,
                                      const OrderedJson& messages);

/// Messages that answer one another; what the model has computed of them is kept.
class Conversation {
 public:
  /// `tokenizer` and `form` must outlive the conversation.
  Conversation(Session session, const Tokenizer& tokenizer, const ChatTemplate& form,
               std::string system);

  /// Adds a user's message and the model's answer. Every answer begins with the same seed, so that
  /// the same messages get the same answers. When it fails, the conversation is as before. Errors:
  /// as encode_chat and generate.
  GeneratedText answer(const std::string& message, const GenerationOptions& options,
                       const std::vector<std::string>& stop_strings,
                       const TextCallbacks& callbacks = {});

  /// Forgets all messages but the system's.
  void reset() { messages_ = first_messages(system_); }

 private:
  Session session_;
  const Tokenizer& tokenizer_;
  const ChatTemplate& form_;
  std::string system_;
  OrderedJson messages_;
};

}  // namespace terse
