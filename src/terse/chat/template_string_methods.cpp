// The methods of strings, with Python's meaning. Places are counted in code points.
#include <algorithm>

#include "terse/chat/code_points.h"
#include "terse/chat/template_access.h"
#include "terse/chat/template_arguments.h"
#include "terse/chat/template_methods.h"
#include "terse/chat/template_operators.h"
#include "terse/chat/template_search.h"
#include "terse/chat/template_text_tools.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;

Value texts(Runtime& runtime, const std::vector<std::string_view>& pieces,
            Sequence::Form form = Sequence::Form::list) {
  Values made;
  for (const std::string_view piece : pieces) {
    made.push_back(make_string(runtime.heap, std::string(piece)));
  }
  return make_sequence(runtime.heap, std::move(made), form);
}

// Changes of the whole string.

template <std::string (*change)(std::string_view)>
Value changed(Runtime& runtime, const Value& self, std::string_view name,
              const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  runtime.heap.work(1 + self.string().size() / 8);
  return make_string(runtime.heap, change(self.string()));
}

// Python's str.title: a letter after anything but a letter begins a word.
std::string title(std::string_view text) {
  std::string made;
  bool within = false;
  for (const std::string_view character : Characters(text)) {
    made += within ? to_lower(character) : capitalized(character);
    within = is_cased(code_point_at(character, 0));
  }
  return made;
}

std::string swap_case(std::string_view text) {
  std::string made;
  for (const std::string_view character : Characters(text)) {
    made += is_upper_case(code_point_at(character, 0)) ? to_lower(character) : to_upper(character);
  }
  return made;
}

template <bool start, bool end>
Value strip(Runtime& runtime, const Value& self, std::string_view name,
            const Arguments& arguments) {
  const Parameters given(name, arguments, {"chars"});
  const std::string* characters = given.is_set(0) ? &given.text(0) : nullptr;
  return make_string(runtime.heap,
                     std::string(stripped(runtime.heap, self.string(), characters, start, end)));
}

Value remove_prefix(Runtime& runtime, const Value& self, std::string_view name,
                    const Arguments& arguments) {
  const Parameters given(name, arguments, {"prefix"}, 1);
  if (!self.string().starts_with(given.text(0))) return self;
  return make_string(runtime.heap, self.string().substr(given.text(0).size()));
}

Value remove_suffix(Runtime& runtime, const Value& self, std::string_view name,
                    const Arguments& arguments) {
  const Parameters given(name, arguments, {"suffix"}, 1);
  if (!self.string().ends_with(given.text(0))) return self;
  return make_string(runtime.heap,
                     self.string().substr(0, self.string().size() - given.text(0).size()));
}

Value replace(Runtime& runtime, const Value& self, std::string_view name,
              const Arguments& arguments) {
  const Parameters given(name, arguments, {"old", "new", "count"}, 2);
  return replaced(runtime.heap, self.string(), given.text(0), given.text(1), given.integer(2, -1));
}

// Cutting and joining.

template <bool from_end>
Value split(Runtime& runtime, const Value& self, std::string_view name,
            const Arguments& arguments) {
  const Parameters given(name, arguments, {"sep", "maxsplit"});
  const std::string* separator = given.is_set(0) ? &given.text(0) : nullptr;
  return texts(runtime,
               split_text(runtime.heap, self.string(), separator, given.integer(1, -1), from_end));
}

Value split_lines(Runtime& runtime, const Value& self, std::string_view name,
                  const Arguments& arguments) {
  const Parameters given(name, arguments, {"keepends"});
  return texts(runtime, lines_of(runtime.heap, self.string(), given.flag(0, false)));
}

template <bool from_end>
Value partition(Runtime& runtime, const Value& self, std::string_view name,
                const Arguments& arguments) {
  const Parameters given(name, arguments, {"sep"}, 1);
  const std::string_view text = self.string();
  const std::string& separator = given.text(0);
  if (separator.empty()) throw bad_input("{} is given an empty separator", name);
  const std::size_t at = from_end ? find_last(runtime.heap, text, separator, text.size())
                                  : find_bytes(text, separator, 0);
  runtime.heap.work(text.size() / 64);
  std::vector<std::string_view> pieces{text, "", ""};
  if (at == kNowhere) {
    if (from_end) std::swap(pieces.front(), pieces.back());
  } else {
    pieces = {text.substr(0, at), separator, text.substr(at + separator.size())};
  }
  return texts(runtime, pieces, Sequence::Form::tuple);
}

Value join(Runtime& runtime, const Value& self, std::string_view name, const Arguments& arguments) {
  const Parameters given(name, arguments, {"iterable"}, 1);
  BoundedText made(runtime.heap);
  bool first = true;
  for (const Value& item : items_of(runtime, given.at(0))) {
    if (!item.is_string()) throw bad_input("join expects strings, not {}", item.type());
    if (!first) made.append(self.string());
    first = false;
    made.append(item.string());
  }
  return make_string(made);
}

// Finding. What is searched is the slice [start:end].

struct Window {
  std::string_view text;
  std::size_t first;  // code points before it
  bool inside;        // whether `start` lies within the text
};

Window window_of(Runtime& runtime, const std::string& text, const Parameters& given,
                 std::size_t index) {
  runtime.heap.work(1 + text.size() / 32);
  if (!given.is_set(index) && !given.is_set(index + 1)) return {text, 0, true};
  const auto size = static_cast<std::int64_t>(count_code_points(text));
  const auto resolve = [&](std::size_t at, std::int64_t absent) {
    if (!given.is_set(at)) return absent;
    const std::int64_t place = given.integer(at);
    return std::max<std::int64_t>(0, place < 0 ? place + size : place);
  };
  const std::int64_t start = resolve(index, 0);
  const std::int64_t end = std::min(resolve(index + 1, size), size);
  if (start > end) return {"", 0, false};
  const std::size_t begin = byte_offset(text, static_cast<std::size_t>(start));
  const std::string_view rest = std::string_view(text).substr(begin);
  return {rest.substr(0, byte_offset(rest, static_cast<std::size_t>(end - start))),
          static_cast<std::size_t>(start), true};
}

template <bool from_end, bool must>
Value find(Runtime& runtime, const Value& self, std::string_view name, const Arguments& arguments) {
  const Parameters given(name, arguments, {"sub", "start", "end"}, 1);
  const Window window = window_of(runtime, self.string(), given, 1);
  std::size_t at = kNowhere;
  if (window.inside) {
    at = from_end ? find_last(runtime.heap, window.text, given.text(0), window.text.size())
                  : find_bytes(window.text, given.text(0), 0);
  }
  if (at != kNowhere) {
    return Value::integer(
        static_cast<std::int64_t>(window.first + count_code_points(window.text.substr(0, at))));
  }
  if (must) throw bad_input("{}: the text is not there", name);
  return Value::integer(-1);
}

Value count(Runtime& runtime, const Value& self, std::string_view name,
            const Arguments& arguments) {
  const Parameters given(name, arguments, {"sub", "start", "end"}, 1);
  const Window window = window_of(runtime, self.string(), given, 1);
  const std::string& what = given.text(0);
  if (!window.inside) return Value::integer(0);
  if (what.empty()) {
    return Value::integer(static_cast<std::int64_t>(count_code_points(window.text)) + 1);
  }
  std::int64_t found = 0;
  for (std::size_t at = 0; (at = find_bytes(window.text, what, at)) != kNowhere; ++found) {
    at += what.size();
  }
  return Value::integer(found);
}

template <bool at_end>
Value begins_or_ends(Runtime& runtime, const Value& self, std::string_view name,
                     const Arguments& arguments) {
  const Parameters given(name, arguments, {"affix", "start", "end"}, 1);
  const Window window = window_of(runtime, self.string(), given, 1);
  const auto matches = [&](const std::string& affix) {
    return window.inside &&
           (at_end ? window.text.ends_with(affix) : window.text.starts_with(affix));
  };
  const Value& affix = given.at(0);
  if (!affix.is(Value::Kind::sequence) || affix.sequence().form != Sequence::Form::tuple) {
    return Value::boolean(matches(given.text(0)));
  }
  const Values& choices = affix.sequence().items;
  return Value::boolean(std::any_of(choices.begin(), choices.end(), [&](const Value& choice) {
    if (!choice.is_string()) throw bad_input("{} expects strings, not {}", name, choice.type());
    runtime.heap.work(1 + choice.string().size() / 64);
    return matches(choice.string());
  }));
}

// Asking about all characters.

template <bool (*holds)(char32_t)>
Value all(Runtime& runtime, const Value& self, std::string_view name, const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  const std::string& text = self.string();
  runtime.heap.work(1 + text.size() / 16);
  for (std::size_t at = 0; at < text.size(); at += character_bytes(text, at)) {
    if (!holds(code_point_at(text, at))) return Value::boolean(false);
  }
  return Value::boolean(!text.empty());
}

bool is_letter_or_number(char32_t character) {
  return is_letter(character) || is_number_like(character);
}

Value is_ascii(Runtime&, const Value& self, std::string_view name, const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  const std::string& text = self.string();
  return Value::boolean(std::all_of(
      text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) < 0x80; }));
}

// Whether there are cased characters and each is of this case.
template <bool (*fits)(char32_t)>
Value cased(Runtime& runtime, const Value& self, std::string_view name,
            const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  const std::string& text = self.string();
  runtime.heap.work(1 + text.size() / 16);
  bool any = false;
  for (std::size_t at = 0; at < text.size(); at += character_bytes(text, at)) {
    const char32_t character = code_point_at(text, at);
    if (!is_cased(character)) continue;
    if (!fits(character)) return Value::boolean(false);
    any = true;
  }
  return Value::boolean(any);
}

Value is_title(Runtime& runtime, const Value& self, std::string_view name,
               const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  runtime.heap.work(1 + self.string().size() / 8);
  bool any = false;
  bool within = false;
  for (const std::string_view piece : Characters(self.string())) {
    const char32_t character = code_point_at(piece, 0);
    const bool is_case = is_cased(character);
    if (is_case && is_lower_case(character) != within) return Value::boolean(false);
    any = any || is_case;
    within = is_case;
  }
  return Value::boolean(any);
}

// Filling up to a width.

enum class Side { left, right, both };

template <Side side>
Value fill(Runtime& runtime, const Value& self, std::string_view name, const Arguments& arguments) {
  const Parameters given(name, arguments, {"width", "fillchar"}, 1);
  const std::string fill_text = given.has(1) ? given.text(1) : " ";
  if (count_code_points(fill_text) != 1) throw bad_input("{} fills with one character", name);
  const std::uint64_t total = missing_width(given.integer(0), self.string());
  if (total == 0) return self;
  // Python puts the odd one left when the width is odd, else right.
  const std::uint64_t half =
      total / 2 + (total & static_cast<std::uint64_t>(given.integer(0)) & 1U);
  const std::uint64_t before = side == Side::left ? total : side == Side::right ? 0 : half;
  runtime.heap.check_room(total);  // a byte for each, at least
  BoundedText made(runtime.heap);
  for (std::uint64_t i = 0; i < before; ++i) made.append(fill_text);
  made.append(self.string());
  for (std::uint64_t i = before; i < total; ++i) made.append(fill_text);
  return make_string(made);
}

Value zero_fill(Runtime& runtime, const Value& self, std::string_view name,
                const Arguments& arguments) {
  const Parameters given(name, arguments, {"width"}, 1);
  const std::string& text = self.string();
  const std::uint64_t more = missing_width(given.integer(0), text);
  if (more == 0) return self;
  const std::size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  BoundedText made(runtime.heap);
  made.append(std::string_view(text).substr(0, sign));
  made.append(more, '0');
  made.append(std::string_view(text).substr(sign));
  return make_string(made);
}

constexpr Method kMethods[] = {
    {"capitalize", changed<capitalized>},
    {"center", fill<Side::both>},
    {"count", count},
    {"endswith", begins_or_ends<true>},
    {"find", find<false, false>},
    {"index", find<false, true>},
    {"isalnum", all<is_letter_or_number>},
    {"isalpha", all<is_letter>},
    {"isascii", is_ascii},
    {"isdecimal", all<is_digit>},
    {"isdigit", all<is_digit>},
    {"islower", cased<is_lower_case>},
    {"isspace", all<is_space>},
    {"istitle", is_title},
    {"isupper", cased<is_upper_case>},
    {"join", join},
    {"ljust", fill<Side::right>},
    {"lower", changed<to_lower>},
    {"lstrip", strip<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_prefix},
    {"removesuffix", remove_suffix},
    {"replace", replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rjust", fill<Side::left>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"splitlines", split_lines},
    {"startswith", begins_or_ends<false>},
    {"strip", strip<true, true>},
    {"swapcase", changed<swap_case>},
    {"title", changed<title>},
    {"upper", changed<to_upper>},
    {"zfill", zero_fill},
};

}  // namespace

const Method* find_string_method(std::string_view name) {
  const auto found = std::lower_bound(
      std::begin(kMethods), std::end(kMethods), name,
      [](const Method& method, std::string_view key) { return method.name < key; });
  return found != std::end(kMethods) && found->name == name ? found : nullptr;
}

}  // namespace terse::chat
