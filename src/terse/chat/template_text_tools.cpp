#include "terse/chat/template_text_tools.h"

#include <algorithm>
#include <utility>

#include "terse/chat/code_points.h"
#include "terse/chat/template_search.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

using Pieces = std::vector<std::string_view>;

constexpr std::size_t kNowhere = std::string_view::npos;

void add_piece(Heap& heap, Pieces& pieces, std::string_view piece) {
  heap.work(1);
  pieces.push_back(piece);
  if (pieces.size() % 1024 == 0) heap.check_room(2 * pieces.size() * sizeof(std::string_view));
}

bool names(std::string_view characters, std::string_view character) {
  return find_bytes(characters, character, 0) != kNowhere;
}

Pieces split_at(Heap& heap, std::string_view text, std::string_view separator, std::uint64_t most) {
  Pieces pieces;
  std::size_t begin = 0;
  for (; pieces.size() < most; begin = begin + separator.size()) {
    const std::size_t at = find_bytes(text, separator, begin);
    if (at == kNowhere) break;
    add_piece(heap, pieces, text.substr(begin, at - begin));
    begin = at;
  }
  add_piece(heap, pieces, text.substr(begin));
  return pieces;
}

Pieces split_at_from_end(Heap& heap, std::string_view text, std::string_view separator,
                         std::uint64_t most) {
  Pieces pieces;
  std::size_t end = text.size();
  while (pieces.size() < most) {
    const std::size_t at = find_last(heap, text, separator, end);
    if (at == kNowhere) break;
    add_piece(heap, pieces, text.substr(at + separator.size(), end - at - separator.size()));
    end = at;
  }
  add_piece(heap, pieces, text.substr(0, end));
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

// Length of the run of characters that are space, or that are not, at the start.
std::size_t run_at_start(std::string_view text, bool space) {
  std::size_t at = 0;
  while (at < text.size() && is_space(code_point_at(text, at)) == space) {
    at += character_bytes(text, at);
  }
  return at;
}

std::size_t run_at_end(std::string_view text, bool space) {
  std::size_t begin = text.size();
  while (begin > 0) {
    const std::size_t size = character_bytes_before(text, begin);
    if (is_space(code_point_at(text, begin - size)) != space) break;
    begin -= size;
  }
  return text.size() - begin;
}

Pieces split_words(Heap& heap, std::string_view text, std::uint64_t most) {
  Pieces pieces;
  for (text = strip_start(text); !text.empty(); text = strip_start(text)) {
    if (pieces.size() == most) {
      add_piece(heap, pieces, text);
      break;
    }
    const std::size_t size = run_at_start(text, false);
    add_piece(heap, pieces, text.substr(0, size));
    text.remove_prefix(size);
  }
  return pieces;
}

Pieces split_words_from_end(Heap& heap, std::string_view text, std::uint64_t most) {
  Pieces pieces;
  for (text = strip_end(text); !text.empty(); text = strip_end(text)) {
    if (pieces.size() == most) {
      add_piece(heap, pieces, text);
      break;
    }
    const std::size_t size = run_at_end(text, false);
    add_piece(heap, pieces, text.substr(text.size() - size));
    text.remove_suffix(size);
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

bool ends_line(char32_t character) {
  return (character >= 10 && character <= 13) || (character >= 28 && character <= 30) ||
         character == 0x85 || character == 0x2028 || character == 0x2029;
}

// An empty `from` lies before every character and at the end.
Value interleaved(Heap& heap, std::string_view text, std::string_view to, std::uint64_t most) {
  BoundedText made(heap);
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < most; ++i) {
    made.append(to);
    if (at == text.size()) break;
    const std::size_t size = character_bytes(text, at);
    made.append(text.substr(at, size));
    at += size;
  }
  made.append(text.substr(at));
  return make_string(made);
}

}  // namespace

std::size_t find_last(Heap& heap, std::string_view text, std::string_view what, std::size_t end) {
  if (what.size() > end) return kNowhere;
  const std::size_t at = text.substr(0, end).rfind(what);
  // Looking back compares anew at every place it passes.
  const std::size_t passed = end - (at == kNowhere ? 0 : at);
  heap.work(1 + passed / 64 * (1 + what.size() / 16));
  return at;
}

std::string_view stripped(Heap& heap, std::string_view text, const std::string* characters,
                          bool start, bool end) {
  heap.work(1 + text.size() / 64);
  if (characters == nullptr) {
    if (start) text = strip_start(text);
    return end ? strip_end(text) : text;
  }
  while (start && !text.empty()) {
    const std::size_t size = character_bytes(text, 0);
    heap.work(1 + characters->size() / 64);
    if (!names(*characters, text.substr(0, size))) break;
    text.remove_prefix(size);
  }
  while (end && !text.empty()) {
    const std::size_t size = character_bytes_before(text, text.size());
    heap.work(1 + characters->size() / 64);
    if (!names(*characters, text.substr(text.size() - size))) break;
    text.remove_suffix(size);
  }
  return text;
}

std::vector<std::string_view> split_text(Heap& heap, std::string_view text,
                                         const std::string* separator, std::int64_t most,
                                         bool from_end) {
  heap.work(1 + text.size() / 64);
  const std::uint64_t bound = most < 0 ? UINT64_MAX : static_cast<std::uint64_t>(most);
  if (separator == nullptr) {
    return from_end ? split_words_from_end(heap, text, bound) : split_words(heap, text, bound);
  }
  if (separator->empty()) throw bad_input("split is given an empty separator");
  return from_end ? split_at_from_end(heap, text, *separator, bound)
                  : split_at(heap, text, *separator, bound);
}

std::vector<std::string_view> lines_of(Heap& heap, std::string_view text, bool keep_ends) {
  heap.work(1 + text.size() / 16);
  Pieces lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t next = at + character_bytes(text, at);
    if (!ends_line(code_point_at(text, at))) {
      at = next;
      continue;
    }
    if (text.substr(at, 2) == "\r\n") ++next;
    add_piece(heap, lines, text.substr(begin, (keep_ends ? next : at) - begin));
    begin = at = next;
  }
  if (begin < text.size()) add_piece(heap, lines, text.substr(begin));
  return lines;
}

Value replaced(Heap& heap, std::string_view text, std::string_view from, std::string_view to,
               std::int64_t most) {
  heap.work(1 + text.size() / 64);
  const std::uint64_t bound = most < 0 ? UINT64_MAX : static_cast<std::uint64_t>(most);
  if (from.empty()) return interleaved(heap, text, to, bound);
  BoundedText made(heap);
  std::size_t begin = 0;
  for (std::uint64_t i = 0; i < bound; ++i) {
    const std::size_t at = find_bytes(text, from, begin);
    if (at == kNowhere) break;
    made.append(text.substr(begin, at - begin));
    made.append(to);
    begin = at + from.size();
  }
  made.append(text.substr(begin));
  return make_string(made);
}

std::uint64_t missing_width(std::int64_t width, std::string_view text) {
  const std::size_t size = count_code_points(text);
  return std::cmp_less_equal(width, size) ? 0 : static_cast<std::uint64_t>(width) - size;
}

}  // namespace terse::chat
