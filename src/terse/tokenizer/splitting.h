// Cutting pieces at matches, with the five behaviours that a delimiter can have.
#pragma once

#include <vector>

#include "terse/core/json.h"
#include "terse/tokenizer/pre_tokenizer.h"

namespace terse {

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Reads key `behavior`. Errors: bad_input.
SplitBehavior read_split_behavior(const Json& part);

/// Turns the matches in a piece of `size` bytes into the ranges that remain of it, appended to
/// `ranges` with `base` added. `invert`: what lies between the matches is the delimiter.
void split_at(const std::vector<Range>& matches, std::size_t size, bool invert,
              SplitBehavior behavior, std::size_t base, std::vector<Range>& ranges);

/// Cuts every piece: `find(piece, matches)` appends the matches in it.
template <class Find>
void split_pieces(Pieces& pieces, bool invert, SplitBehavior behavior, Find&& find) {
  std::vector<Range> ranges;
  std::vector<Range> matches;
  ranges.reserve(pieces.ranges.size());
  for (const Range& range : pieces.ranges) {
    const std::string_view piece = pieces.piece(range);
    matches.clear();
    find(piece, matches);
    split_at(matches, piece.size(), invert, behavior, range.begin, ranges);
  }
  if (!pieces.ranges.empty()) {
    pieces.begins_input &= !ranges.empty() && ranges[0].begin == pieces.ranges[0].begin;
  }
  pieces.ranges = std::move(ranges);
}

}  // namespace terse
