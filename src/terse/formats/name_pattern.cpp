#include "terse/formats/name_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <string>

#include "terse/core/error.h"

namespace terse {
namespace {

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

}  // namespace

NamePattern::NamePattern(std::string_view pattern, Anchor anchor) {
  const std::uint32_t options = PCRE2_UTF | (anchor == Anchor::start ? PCRE2_ANCHORED : 0U);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(code_units(pattern), pattern.size(), options, &error, &offset, nullptr);
  if (code == nullptr) {
    throw bad_input("not a regular expression: {} at character {}", message_of(error), offset);
  }
  code_ = {code, [](pcre2_code* compiled) { pcre2_code_free(compiled); }};
}

bool NamePattern::matches(std::string_view name) const {
  const MatchData data(pcre2_match_data_create(1, nullptr));
  const MatchContext limits(pcre2_match_context_create(nullptr));
  if (!data || !limits) throw failure("out of memory while matching '{}'", name);
  pcre2_set_match_limit(limits.get(), kMatchLimit);
  pcre2_set_heap_limit(limits.get(), kHeapLimit);
  const int result =
      pcre2_match(code_.get(), code_units(name), name.size(), 0, 0, data.get(), limits.get());
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0) throw bad_input("cannot match '{}': {}", name, message_of(result));
  return true;
}

}  // namespace terse
