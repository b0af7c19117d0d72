#include "terse/chat/chat_template.h"

#include <algorithm>
#include <array>

#include "terse/chat/template_globals.h"
#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/json.h"

namespace terse {
namespace {

constexpr std::string_view kDefault = "default";
constexpr std::string_view kWithTools = "tool_use";

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm time{};
  localtime_r(&now, &time);
  return time;
}

// Tokens are strings, or objects that say how they are matched beside their `content`.
OrderedJson special_tokens_of(const Json& config) {
  constexpr std::array<std::string_view, 7> kNames{
      "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
  OrderedJson tokens = OrderedJson::object();
  for (const std::string_view name : kNames) {
    if (!has_key(config, name)) continue;
    const Json& token = config.at(std::string(name));
    tokens[std::string(name)] =
        token.is_object() ? get_string(token, "content") : get_string(config, name);
  }
  return tokens;
}

}  // namespace

void ChatTemplate::add(std::string name, const std::string& source, std::string_view text) {
  with_context(source, [&] {
    templates_.push_back({std::move(name), source, chat::Template::parse(text)});
  });
}

// False when the file holds no template.
bool ChatTemplate::add_from_json(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return false;
  const Json config = read_json(path);
  if (!has_key(config, "chat_template")) return false;
  const std::string source = path.string() + ": chat_template";
  if (!config.at("chat_template").is_array()) {
    const std::string text =
        with_context(path.string(), [&] { return get_string(config, "chat_template"); });
    add(std::string(kDefault), source, text);
    return true;
  }
  for (const Json& entry : get_array(config, "chat_template")) {
    const auto part = [&](const char* key) {
      return with_context(path.string(), [&] { return get_string(entry, key); });
    };
    const std::string name = part("name");
    add(name, fmt::format("{} '{}'", source, name), part("template"));
  }
  return !templates_.empty();
}

ChatTemplate ChatTemplate::open(const std::filesystem::path& directory) {
  ChatTemplate made;
  const auto config = directory / "tokenizer_config.json";
  if (std::filesystem::exists(config)) {
    const Json json = read_json(config);
    made.special_tokens_ = with_context(config.string(), [&] { return special_tokens_of(json); });
  }
  const auto own_file = directory / "chat_template.jinja";
  if (std::filesystem::exists(own_file)) {
    made.add(std::string(kDefault), own_file.string(), read_file(own_file));
  } else if (!made.add_from_json(config) && !made.add_from_json(directory / "chat_template.json")) {
    throw bad_input(
        "{}: the model has no chat template (chat_template.jinja, or chat_template in "
        "tokenizer_config.json); use --prompt without a chat, or put a template file there",
        directory.string());
  }
  return made;
}

ChatTemplate ChatTemplate::parse(std::string_view text, OrderedJson special_tokens) {
  ChatTemplate made;
  made.special_tokens_ = std::move(special_tokens);
  made.add(std::string(kDefault), "chat template", text);
  return made;
}

// Models with several templates have one for tools beside the default.
const ChatTemplate::Named& ChatTemplate::choose(const OrderedJson& extra) const {
  const auto find = [&](std::string_view name) {
    return std::find_if(templates_.begin(), templates_.end(),
                        [&](const Named& each) { return each.name == name; });
  };
  const bool tools = extra.contains("tools") && !extra.at("tools").is_null();
  auto chosen = tools ? find(kWithTools) : templates_.end();
  if (chosen == templates_.end()) chosen = find(kDefault);
  if (chosen != templates_.end()) return *chosen;
  if (templates_.size() == 1) return templates_.front();
  throw bad_input("{}: none of the model's {} chat templates is called '{}'",
                  templates_.front().source, templates_.size(), kDefault);
}

std::string ChatTemplate::render(const OrderedJson& messages, bool add_generation_prompt,
                                 const OrderedJson& extra) const {
  if (!messages.is_array()) throw bad_input("messages of a chat are a list");
  const Named& chosen = choose(extra);
  OrderedJson variables = special_tokens_;
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  for (const auto& [name, value] : extra.items()) variables[name] = value;
  variables["messages"] = messages;
  variables["add_generation_prompt"] = add_generation_prompt;
  try {
    return chosen.text.render(variables, local_time());
  } catch (chat::RaisedByTemplate&) {
    throw;
  } catch (Error& error) {
    error.add_context(chosen.source);
    throw;
  }
}

}  // namespace terse
