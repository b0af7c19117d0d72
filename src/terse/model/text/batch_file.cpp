#include "terse/model/text/batch_file.h"

#include <algorithm>

#include "terse/core/error.h"
#include "terse/core/text.h"
#include "terse/model/text/conversation.h"

namespace terse {
namespace {

void check_keys(const Json& object) {
  static const std::vector<std::string> kKnown{"prompt", "messages",   "id",
                                               "seed",   "max_tokens", "stop"};
  if (!object.is_object()) throw bad_input("expected an object, found {}", object.type_name());
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(kKnown, key) == kKnown.end()) {
      throw bad_input("unknown key '{}'; did you mean '{}'?", key, nearest_word(key, kKnown));
    }
  }
}

Json id_of(const Json& object) {
  if (!has_key(object, "id")) return {};
  const Json& id = object.at("id");
  if (!id.is_string() && !id.is_number_integer()) {
    throw bad_input("key 'id': expected a string or an integer, found {}", id.type_name());
  }
  return id;
}

std::optional<std::int64_t> integer_of(const Json& object, const char* key, std::int64_t least) {
  if (!has_key(object, key)) return std::nullopt;
  const std::int64_t value = get_integer(object, key);
  if (value < least) {
    throw bad_input("key '{}': expected an integer from {} on, found {}", key, least, value);
  }
  return value;
}

std::optional<std::vector<std::string>> stop_strings_of(const Json& object) {
  if (!has_key(object, "stop")) return std::nullopt;
  const Json& stop = object.at("stop");
  std::vector<std::string> strings;
  for (const Json& each : stop.is_array() ? stop : Json::array({stop})) {
    if (!each.is_string() || each.get_ref<const std::string&>().empty()) {
      throw bad_input(
          "key 'stop': expected a string that is not empty, or a list of such, found {}",
          each.is_string() ? "an empty one" : each.type_name());
    }
    strings.push_back(each);
  }
  return strings;
}

// Templates see the keys of messages in the order in which they stand in the line.
OrderedJson messages_of(const Json& object, std::string_view line) {
  const Json& messages = get_array(object, "messages");
  if (messages.empty()) throw bad_input("key 'messages': expected one message or more, found none");
  for (const Json& message : messages) {
    with_context("key 'messages'", [&] { get_string(message, "role"); });
  }
  return OrderedJson::parse(line).at("messages");
}

BatchRequest parse_request(std::string_view line, std::size_t number) {
  const Json object = parse_json(line);
  check_keys(object);
  if (has_key(object, "prompt") == has_key(object, "messages")) {
    throw bad_input("expected one of the keys 'prompt' and 'messages', found {}",
                    has_key(object, "prompt") ? "both" : "none");
  }
  BatchRequest request;
  request.line = number;
  request.id = id_of(object);
  if (has_key(object, "prompt")) {
    request.prompt = get_string(object, "prompt");
  } else {
    request.messages = messages_of(object, line);
  }
  request.seed = integer_of(object, "seed", 0);
  request.max_tokens = integer_of(object, "max_tokens", 1);
  request.stop_strings = stop_strings_of(object);
  return request;
}

std::string line_name(std::size_t number) {
  return fmt::format("line {}", number);
}

TextPrompt encode(const BatchRequest& request, const BatchSetting& setting) {
  std::vector<std::int32_t> tokens =
      request.prompt ? setting.encoder.encode(*request.prompt)
                     : encode_chat(*setting.form, setting.encoder.tokenizer(), request.messages);
  check_prompt(tokens, setting.architecture);
  return {{std::move(tokens), request.seed.value_or(setting.seed), request.max_tokens},
          request.stop_strings.value_or(setting.stop_strings)};
}

}  // namespace

std::vector<BatchRequest> parse_batch(std::string_view text) {
  std::vector<BatchRequest> requests;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    with_context(line_name(number), [&] { requests.push_back(parse_request(line, number)); });
  }
  return requests;
}

std::vector<TextPrompt> encode_batch(const std::vector<BatchRequest>& requests,
                                     const BatchSetting& setting) {
  std::vector<TextPrompt> prompts;
  for (const BatchRequest& request : requests) {
    with_context(line_name(request.line), [&] { prompts.push_back(encode(request, setting)); });
  }
  return prompts;
}

}  // namespace terse
