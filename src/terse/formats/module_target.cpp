#include "terse/formats/module_target.h"

#include "terse/core/error.h"
#include "terse/formats/name_pattern.h"

namespace terse {
namespace {

constexpr std::string_view kRegexPrefix = "re:";

NamePattern compile(const std::string& target) {
  return {std::string_view(target).substr(kRegexPrefix.size()), NamePattern::Anchor::start};
}

std::string context_of(const std::string& target) {
  return "target '" + target + "'";
}

}  // namespace

bool is_regex_target(std::string_view target) {
  return target.starts_with(kRegexPrefix);
}

bool target_matches_name(const std::string& target, std::string_view module_name) {
  if (!is_regex_target(target)) return target == module_name;
  return with_context(context_of(target), [&] { return compile(target).matches(module_name); });
}

void check_target(const std::string& target) {
  if (is_regex_target(target)) with_context(context_of(target), [&] { compile(target); });
}

}  // namespace terse
