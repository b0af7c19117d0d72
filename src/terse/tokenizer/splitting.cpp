#include "terse/tokenizer/splitting.h"

#include "terse/core/error.h"

namespace terse {
namespace {

struct Span {
  Range range;
  bool is_match;
};

// The whole piece as spans that are a match or not, in order.
void cover(const std::vector<Range>& matches, std::size_t size, bool invert,
           std::vector<Span>& spans) {
  std::size_t last = 0;
  for (const Range& match : matches) {
    if (match.begin > last) spans.push_back({{last, match.begin}, invert});
    spans.push_back({match, !invert});
    last = match.end;
  }
  if (last < size) spans.push_back({{last, size}, invert});
}

// Joins a span to its left neighbour where `joins(span, left neighbour is a match)`.
template <class Joins>
std::vector<Range> join_left(const std::vector<Span>& spans, Joins&& joins) {
  std::vector<Range> joined;
  bool previous = false;
  for (const Span& span : spans) {
    if (!joined.empty() && joins(span.is_match, previous)) {
      joined.back().end = span.range.end;
    } else {
      joined.push_back(span.range);
    }
    previous = span.is_match;
  }
  return joined;
}

std::vector<Range> join_right(const std::vector<Span>& spans) {
  std::vector<Range> joined;
  bool next = false;
  for (auto span = spans.rbegin(); span != spans.rend(); ++span) {
    if (!joined.empty() && span->is_match && !next) {
      joined.back().begin = span->range.begin;
    } else {
      joined.push_back(span->range);
    }
    next = span->is_match;
  }
  return {joined.rbegin(), joined.rend()};
}

std::vector<Range> remaining(const std::vector<Span>& spans, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::merged_with_previous:
      return join_left(spans, [](bool match, bool previous) { return match && !previous; });
    case SplitBehavior::contiguous:
      return join_left(spans, [](bool match, bool previous) { return match == previous; });
    case SplitBehavior::merged_with_next:
      return join_right(spans);
    case SplitBehavior::removed:
    case SplitBehavior::isolated:
      break;
  }
  std::vector<Range> ranges;
  for (const Span& span : spans) {
    if (behavior == SplitBehavior::isolated || !span.is_match) ranges.push_back(span.range);
  }
  return ranges;
}

}  // namespace

SplitBehavior read_split_behavior(const Json& part) {
  const std::string name = get_string(part, "behavior");
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  throw bad_input(
      "key 'behavior': expected Removed, Isolated, MergedWithPrevious, MergedWithNext or "
      "Contiguous, found '{}'",
      name);
}

void split_at(const std::vector<Range>& matches, std::size_t size, bool invert,
              SplitBehavior behavior, std::size_t base, std::vector<Range>& ranges) {
  std::vector<Span> spans;
  spans.reserve(matches.size() + 1);
  cover(matches, size, invert, spans);
  for (const Range& range : remaining(spans, behavior)) {
    if (range.begin < range.end) ranges.push_back({base + range.begin, base + range.end});
  }
}

}  // namespace terse
