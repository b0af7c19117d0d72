#include "terse/core/method_registry.h"

#include <algorithm>
#include <charconv>
#include <type_traits>

#include "terse/core/error.h"
#include "terse/core/text.h"

namespace terse {
namespace {

template <class T>
T parse_number(const MethodOption& option, const std::string& text, std::string_view expected) {
  T value{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) {
    throw bad_usage("option {}: expected {}, found '{}'", option.name, expected, text);
  }
  const auto number = static_cast<double>(value);
  if (!(number >= option.minimum && number <= option.maximum)) {
    throw bad_usage("option {}: {} is outside {} to {}", option.name, text, option.minimum,
                    option.maximum);
  }
  return value;
}

bool parse_flag(const MethodOption& option, const std::string& text) {
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  throw bad_usage("option {}: expected true or false, found '{}'", option.name, text);
}

std::string parse_choice(const MethodOption& option, const std::string& text) {
  if (option.choices.empty() || std::ranges::find(option.choices, text) != option.choices.end()) {
    return text;
  }
  throw bad_usage("option {}: '{}' is not one of {}", option.name, text,
                  fmt::join(option.choices, ", "));
}

OptionValue parse_option(const MethodOption& option, const std::string& text) {
  if (std::holds_alternative<bool>(option.default_value)) return parse_flag(option, text);
  if (std::holds_alternative<std::int64_t>(option.default_value)) {
    return parse_number<std::int64_t>(option, text, "an integer");
  }
  if (std::holds_alternative<double>(option.default_value)) {
    return parse_number<double>(option, text, "a number");
  }
  return parse_choice(option, text);
}

}  // namespace

std::string_view scope_name(MethodScope scope) {
  switch (scope) {
    case MethodScope::linear:
      return "one linear";
    case MethodScope::block:
      return "one block";
    case MethodScope::neighbouring_blocks:
      return "neighbouring blocks";
    case MethodScope::model:
      return "the whole model";
  }
  return "";
}

std::string_view need_name(MethodNeed need) {
  switch (need) {
    case MethodNeed::nothing:
      return "nothing";
    case MethodNeed::input_norms:
      return "input norms";
    case MethodNeed::input_ranges:
      return "input ranges";
    case MethodNeed::input_second_moments:
      return "input second moments";
    case MethodNeed::block_inputs_outputs:
      return "block inputs and outputs";
    case MethodNeed::gradients:
      return "gradients";
    case MethodNeed::importance:
      return "importance scores";
    case MethodNeed::evaluator:
      return "an evaluator";
  }
  return "";
}

std::string option_text(const OptionValue& value) {
  return std::visit(
      [](const auto& held) {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, bool>) {
          return std::string(held ? "true" : "false");
        } else {
          return fmt::format("{}", held);
        }
      },
      value);
}

MethodOptions::MethodOptions(const MethodInfo& info,
                             const std::map<std::string, std::string>& given) {
  std::vector<std::string> names;
  for (const MethodOption& option : info.options) {
    const auto found = given.find(option.name);
    values_[option.name] =
        found == given.end() ? option.default_value : parse_option(option, found->second);
    names.push_back(option.name);
  }
  for (const auto& [name, text] : given) {
    given_.insert(name);
    if (values_.contains(name)) continue;
    throw bad_usage("method {} has no option '{}'; did you mean '{}'?", info.name, name,
                    nearest_word(name, names));
  }
}

MethodRegistry& MethodRegistry::instance() {
  static MethodRegistry registry;
  return registry;
}

void MethodRegistry::add(MethodInfo info) {
  std::string name = info.name;
  if (!methods_.emplace(name, std::move(info)).second)
    throw failure("method '{}' is registered twice", name);
}

const MethodInfo& MethodRegistry::find(std::string_view name) const {
  const auto found = methods_.find(name);
  if (found != methods_.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& entry : methods_) names.push_back(entry.first);
  throw bad_usage("unknown method '{}'; did you mean '{}'?", name, nearest_word(name, names));
}

}  // namespace terse
