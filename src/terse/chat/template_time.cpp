#include "terse/chat/template_time.h"

#include <array>
#include <string>

#include "terse/core/error.h"

namespace terse::chat {
namespace {

constexpr std::string_view kFlags = "-_0^#";
constexpr std::string_view kDirectives = "aAbBcdDeFgGhHIjklmMnpPrRStTuUVwWxXyY%";

// One directive, such as d or -d, without its percent sign.
std::string directive_text(std::string_view directive, const std::tm& time) {
  const char kind = directive.back();
  // Times here have whole seconds, and no zone.
  if (kind == 'f') return "000000";
  if (kind == 'z' || kind == 'Z') return "";
  if (kDirectives.find(kind) == std::string_view::npos) {
    throw bad_input("strftime_now does not know %{}", directive);
  }
  const std::string format = fmt::format("%{}", directive);
  std::array<char, 128> text;
  return {text.data(), std::strftime(text.data(), text.size(), format.c_str(), &time)};
}

}  // namespace

Value format_time(Heap& heap, std::string_view format, const std::tm& time) {
  BoundedText made(heap);
  while (!format.empty()) {
    const std::size_t sign = format.find('%');
    made.append(format.substr(0, sign));
    if (sign == std::string_view::npos) break;
    format.remove_prefix(sign + 1);
    const std::size_t flags = !format.empty() && kFlags.find(format[0]) != kFlags.npos ? 1 : 0;
    if (format.size() <= flags) throw bad_input("the format of strftime_now ends in a %");
    made.append(directive_text(format.substr(0, flags + 1), time));
    format.remove_prefix(flags + 1);
  }
  return make_string(made);
}

}  // namespace terse::chat
