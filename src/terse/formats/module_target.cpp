#include "terse/formats/module_target.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <memory>

#include "terse/core/error.h"

namespace terse {
namespace {

constexpr std::string_view kRegexPrefix = "re:";
// Steps and kilobytes that a match may take: far above what module names need.
constexpr std::uint32_t kMatchLimit = 1'000'000;
constexpr std::uint32_t kHeapLimit = 16'384;

template <auto free_function>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Free<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>>;

PCRE2_SPTR code_units(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

Code compile(const std::string& target) {
  const std::string_view pattern = std::string_view(target).substr(kRegexPrefix.size());
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(code_units(pattern), pattern.size(), PCRE2_ANCHORED | PCRE2_UTF, &error,
                          &offset, nullptr));
  if (!code) {
    throw bad_input("target '{}': not a regular expression: {} at character {}", target,
                    message_of(error), offset);
  }
  return code;
}

bool regex_matches(const std::string& target, std::string_view name) {
  const Code code = compile(target);
  const MatchData data(pcre2_match_data_create(1, nullptr));
  const MatchContext limits(pcre2_match_context_create(nullptr));
  if (!data || !limits) throw failure("out of memory while matching target '{}'", target);
  pcre2_set_match_limit(limits.get(), kMatchLimit);
  pcre2_set_heap_limit(limits.get(), kHeapLimit);
  const int result =
      pcre2_match(code.get(), code_units(name), name.size(), 0, 0, data.get(), limits.get());
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0) {
    throw bad_input("target '{}': cannot match '{}': {}", target, name, message_of(result));
  }
  return true;
}

}  // namespace

bool is_regex_target(std::string_view target) {
  return target.starts_with(kRegexPrefix);
}

bool target_matches_name(const std::string& target, std::string_view module_name) {
  return is_regex_target(target) ? regex_matches(target, module_name) : target == module_name;
}

void check_target(const std::string& target) {
  if (is_regex_target(target)) compile(target);
}

}  // namespace terse
