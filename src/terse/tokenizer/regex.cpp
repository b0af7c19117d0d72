#include "terse/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "terse/core/error.h"
#include "terse/tokenizer/unicode.h"

namespace terse {
namespace {

constexpr std::size_t kMaximumPattern = 65536;
constexpr std::uint32_t kMatchLimit = 2'000'000;  // steps at one start; a sane pattern needs few
constexpr std::uint32_t kDepthLimit = 100'000;
constexpr std::uint32_t kHeapLimit = 64 * 1024;          // KiB, for the interpreter
constexpr std::size_t kJitStack = std::size_t{4} << 20;  // bytes

// What a match needs besides the pattern; one set per thread serves all patterns.
class MatchState {
 public:
  MatchState()
      : data_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        stack_(pcre2_jit_stack_create(32 * 1024, kJitStack, nullptr)) {
    pcre2_set_match_limit(context_, kMatchLimit);
    pcre2_set_depth_limit(context_, kDepthLimit);
    pcre2_set_heap_limit(context_, kHeapLimit);
    pcre2_jit_stack_assign(context_, nullptr, stack_);
  }
  ~MatchState() {
    pcre2_match_data_free(data_);
    pcre2_match_context_free(context_);
    pcre2_jit_stack_free(stack_);
  }
  MatchState(const MatchState&) = delete;
  MatchState& operator=(const MatchState&) = delete;

  int match(const pcre2_code* code, std::string_view text, std::size_t from,
            std::uint32_t options) {
    return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       PCRE2_NO_UTF_CHECK | options, data_, context_);
  }
  Range matched() const {
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data_);
    return {ends[0], ends[1]};
  }

 private:
  pcre2_match_data* data_;
  pcre2_match_context* context_;
  pcre2_jit_stack* stack_;
};

MatchState& match_state() {
  thread_local MatchState state;
  return state;
}

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 160> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

std::string shortened(std::string_view pattern) {
  return pattern.size() <= 80 ? std::string(pattern)
                              : replace_malformed_utf8(pattern.substr(0, 80)) + "...";
}

}  // namespace

Regex::Regex(std::string_view pattern) : pattern_(shortened(pattern)) {
  if (pattern.size() > kMaximumPattern) {
    throw bad_input("regex '{}' has {} bytes; at most {} are allowed", pattern_, pattern.size(),
                    kMaximumPattern);
  }
  const std::string text = with_context(fmt::format("regex '{}'", pattern_),
                                        [&] { return translate_oniguruma(pattern); });
  const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, context.get());
  if (code == nullptr) {
    throw bad_input("regex '{}' is malformed near byte {}: {}", pattern_, offset,
                    message_of(error));
  }
  code_ = std::shared_ptr<const pcre2_code>(
      code, [](const pcre2_code* owned) { pcre2_code_free(const_cast<pcre2_code*>(owned)); });
  // Without JIT (an unusual pattern, a system that forbids it) the interpreter matches.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
}

bool Regex::find(std::string_view text, std::size_t from, Range& match) const {
  MatchState& state = match_state();
  int found = state.match(code_.get(), text, from, 0);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT)
    found = state.match(code_.get(), text, from, PCRE2_NO_JIT);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) {
    throw failure("regex '{}' gave up on this text: {}", pattern_, message_of(found));
  }
  match = state.matched();
  if (match.begin < from || match.end < match.begin) {
    throw failure("regex '{}' matched backwards, which cannot split a text", pattern_);
  }
  return true;
}

void Regex::find_all(std::string_view text, std::vector<Range>& matches) const {
  const std::size_t before = matches.size();
  Range match{};
  for (std::size_t from = 0; from <= text.size() && find(text, from, match);) {
    const bool repeats =
        match.begin == match.end && matches.size() > before && matches.back().end == match.end;
    if (repeats) {
      from += from < text.size() ? read_utf8(text, from).length : 1;
    } else {
      matches.push_back(match);
      from = match.end;
    }
  }
}

}  // namespace terse
