#include "terse/recipe/difference.h"

#include <fmt/format.h>

#include <set>

#include "terse/core/text.h"

namespace terse {
namespace {

constexpr std::size_t kLongestValue = 80;  // bytes

std::string value_text(const Json* value) {
  if (value == nullptr) return "absent";
  std::string text = value->dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= kLongestValue) return text;
  text.resize(kLongestValue);
  text.resize(complete_utf8_prefix(text));
  return text + "...";
}

std::string changed(const std::string& path, const std::string& before, const std::string& now) {
  return fmt::format("{}{}{} before, {} now", path, path.empty() ? "" : ": ", before, now);
}

std::string difference(const std::string& path, const Json* before, const Json* now);

std::string object_difference(const std::string& path, const Json& before, const Json& now) {
  std::set<std::string> keys;
  for (const auto& entry : before.items()) keys.insert(entry.key());
  for (const auto& entry : now.items()) keys.insert(entry.key());
  for (const std::string& key : keys) {
    const auto in_before = before.find(key);
    const auto in_now = now.find(key);
    std::string found = difference(fmt::format("{}{}{}", path, path.empty() ? "" : ".", key),
                                   in_before == before.end() ? nullptr : &*in_before,
                                   in_now == now.end() ? nullptr : &*in_now);
    if (!found.empty()) return found;
  }
  return "";
}

std::string array_difference(const std::string& path, const Json& before, const Json& now) {
  if (before.size() != now.size()) {
    return changed(path, fmt::format("{} entries", before.size()), fmt::format("{}", now.size()));
  }
  for (std::size_t i = 0; i < before.size(); ++i) {
    std::string found = difference(fmt::format("{}[{}]", path, i), &before[i], &now[i]);
    if (!found.empty()) return found;
  }
  return "";
}

std::string difference(const std::string& path, const Json* before, const Json* now) {
  if (before != nullptr && now != nullptr) {
    if (*before == *now) return "";
    if (before->is_object() && now->is_object()) return object_difference(path, *before, *now);
    if (before->is_array() && now->is_array()) return array_difference(path, *before, *now);
  }
  return changed(path, value_text(before), value_text(now));
}

}  // namespace

std::string first_difference(const Json& before, const Json& now) {
  return difference("", &before, &now);
}

}  // namespace terse
