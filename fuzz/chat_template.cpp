// Any bytes as a chat template, run on a conversation with tools. Nothing but bad_input may leave,
// what it gives is UTF-8, and it gives the same again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "terse/chat/code_points.h"
#include "terse/chat/template.h"
#include "terse/core/error.h"

namespace {

constexpr std::size_t kLongest = 1 << 14;
constexpr terse::chat::TemplateLimits kLimits{100'000, 1 << 22};

void require(bool holds) {
  if (!holds) std::abort();
}

const terse::OrderedJson& variables() {
  static const terse::OrderedJson made = terse::OrderedJson::parse(R"({
    "messages": [
      {"role": "system", "content": " Be brief.\n"},
      {"role": "user", "content": [{"type": "text", "text": "W\u00f6 \ud83d\ude42?"}, {"type": "image"}]},
      {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes.", "tool_calls": [
        {"id": "abcdefghi", "type": "function",
         "function": {"name": "f", "arguments": {"x": [1, -2.5, true, null], "y": "'\""}}}]},
      {"role": "tool", "content": {"z": 1e30}, "name": "f"}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {
      "type": "object", "properties": {"x": {"type": "array"}}, "required": ["x"]}}}],
    "documents": null, "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})");
  return made;
}

std::string outcome(const terse::chat::Template& text) {
  try {
    const std::string made = text.render(variables(), std::tm{}, kLimits);
    require(terse::chat::is_valid_utf8(made));
    return "text: " + made;
  } catch (const terse::Error& error) {
    require(error.kind() == terse::ErrorKind::bad_input);
    return error.what();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kLongest) return 0;
  try {
    const auto text = terse::chat::Template::parse({reinterpret_cast<const char*>(data), size});
    require(outcome(text) == outcome(text));
  } catch (const terse::Error& error) {
    require(error.kind() == terse::ErrorKind::bad_input);
  }
  return 0;
}
