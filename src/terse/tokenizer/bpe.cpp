#include "terse/tokenizer/bpe.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "terse/core/error.h"
#include "terse/tokenizer/unicode.h"

namespace terse {
namespace {

constexpr std::uint64_t kNoMerge = ~0ULL;
// Up to here looking through all pairs beats keeping a queue of them.
constexpr std::size_t kShort = 48;

std::uint64_t pair_key(std::uint32_t left, std::uint32_t right) {
  return (static_cast<std::uint64_t>(left) << 32U) | right;
}

}  // namespace

Bpe::Bpe(const Json& part)
    : prefix_(get_string(part, "continuing_subword_prefix", "")),
      suffix_(get_string(part, "end_of_word_suffix", "")),
      fuse_unknown_(get_bool(part, "fuse_unk", false)),
      byte_fallback_(get_bool(part, "byte_fallback", false)),
      ignore_merges_(get_bool(part, "ignore_merges", false)) {
  if (const double dropout = get_number(part, "dropout", 0); dropout != 0) {
    throw bad_input("key 'dropout': {} would make the ids random; set it to null", dropout);
  }
  if (has_key(part, "unk_token")) unknown_ = get_string(part, "unk_token");
  can_cut_ = !ignore_merges_ && prefix_.empty() && suffix_.empty();
  read_vocabulary(part);
  index_characters();
  read_merges(part);
}

void Bpe::read_vocabulary(const Json& part) {
  const Json& tokens = get_object(part, "vocab");
  if (tokens.empty()) throw bad_input("key 'vocab' is empty");
  for (const auto& [token, id] : tokens.items()) {
    vocabulary_.add(token, to_id(id, fmt::format("key 'vocab': token '{}'", token)));
  }
}

void Bpe::index_characters() {
  for (const auto& [id, token] : vocabulary_.tokens()) {
    if (token.empty()) continue;
    const Utf8Step step = read_utf8(token, 0);
    if (step.length == token.size()) characters_.insert(step.value, static_cast<std::uint32_t>(id));
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    bytes_.push_back(vocabulary_.find(byte_token(static_cast<unsigned char>(byte))));
  }
}

void Bpe::read_merges(const Json& part) {
  const Json& merges = get_array(part, "merges");
  if (merges.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw bad_input("key 'merges' has {} entries, which is too many", merges.size());
  }
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const auto [left, right] = read_merge(merges[i], i);
    add_merge(left, right, static_cast<std::uint32_t>(i));
  }
}

// Merges are "a b" in older files, ["a", "b"] in newer ones. Where tokens hold spaces themselves,
// "a b" is cut where it gives tokens.
std::pair<std::string, std::string> Bpe::read_merge(const Json& merge, std::size_t index) const {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  const auto text = merge.is_string() ? merge.get<std::string>() : std::string();
  const std::size_t first = text.find(' ');
  const std::size_t last = text.rfind(' ');
  const auto cut_at = [&](std::size_t at) {
    return std::pair(text.substr(0, at), text.substr(at + 1));
  };
  if (first != std::string::npos && first == last) return cut_at(first);
  constexpr std::size_t kLongest = 1024;  // trying every space is quadratic
  for (std::size_t at = first; at < kLongest && text.size() <= kLongest;
       at = text.find(' ', at + 1)) {
    const auto [left, right] = cut_at(at);
    if (vocabulary_.find(left) && vocabulary_.find(right) && vocabulary_.find(left + right)) {
      return {left, right};
    }
  }
  throw bad_input("key 'merges': entry {} is neither \"a b\" nor [\"a\", \"b\"]", index);
}

std::int32_t Bpe::require_token(const std::string& token, std::string_view owner) const {
  const auto id = vocabulary_.find(token);
  if (!id) throw bad_input("key 'merges': {} '{}' is not in the vocabulary", owner, token);
  return *id;
}

void Bpe::add_merge(const std::string& left, const std::string& right, std::uint32_t rank) {
  if (right.size() < prefix_.size()) {
    throw bad_input("key 'merges': '{}' lacks the prefix '{}'", right, prefix_);
  }
  const std::int32_t left_id = require_token(left, "token");
  const std::int32_t right_id = require_token(right, "token");
  const std::string merged = left + right.substr(prefix_.size());
  const std::int32_t merged_id = require_token(merged, "merged token");
  merges_.insert(
      pair_key(static_cast<std::uint32_t>(left_id), static_cast<std::uint32_t>(right_id)),
      pair_key(rank, static_cast<std::uint32_t>(merged_id)));
  // Tokens that stand for something else than their text would make the neighbours in the text of
  // a token and the neighbours in the input two things.
  const auto stands_for_else = [&](const std::string& token) {
    return (token.size() == 6 && token.starts_with("<0x")) || token == unknown_;
  };
  can_cut_ = can_cut_ && !stands_for_else(left) && !stands_for_else(right);
  if (can_cut_) index_neighbours(merged);
}

void Bpe::index_neighbours(const std::string& merged) {
  char32_t previous = 0;
  for (std::size_t at = 0; at < merged.size();) {
    const Utf8Step step = read_utf8(merged, at);
    if (at > 0) neighbours_.insert(pair_key(previous, step.value), 1);
    previous = step.value;
    at += step.length;
  }
}

// No merge reaches across two characters that are neighbours in no token. But two unknown
// characters may be one unknown token, and an unknown character that gives no token makes its
// neighbours meet.
std::size_t Bpe::independent_prefix(std::string_view piece) const {
  if (!can_cut_) return piece.size();
  char32_t previous = 0;
  const auto known = [&](char32_t character) { return characters_.find(character) != nullptr; };
  for (std::size_t at = 0; at < piece.size();) {
    const Utf8Step step = read_utf8(piece, at);
    if (at > 0 && neighbours_.find(pair_key(previous, step.value)) == nullptr) {
      const int count = (known(previous) ? 1 : 0) + (known(step.value) ? 1 : 0);
      if (count >= (unknown_ ? 1 : 2)) return at;
    }
    previous = step.value;
    at += step.length;
  }
  return piece.size();
}

std::optional<std::int32_t> Bpe::character_id(char32_t character, std::string_view text, bool first,
                                              bool last) const {
  const bool has_prefix = !first && !prefix_.empty();
  const bool has_suffix = last && !suffix_.empty();
  if (has_prefix || has_suffix) {
    return vocabulary_.find((has_prefix ? prefix_ : "") + std::string(text) +
                            (has_suffix ? suffix_ : ""));
  }
  const std::uint64_t* id = characters_.find(character);
  if (id == nullptr) return std::nullopt;
  return static_cast<std::int32_t>(*id);
}

bool Bpe::append_bytes(std::string_view text, Ids& symbols) const {
  const auto id_of = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
  if (!std::all_of(text.begin(), text.end(), id_of)) return false;
  for (const char byte : text) symbols.push_back(*id_of(byte));
  return true;
}

std::int32_t Bpe::unknown_id() const {
  const auto id = vocabulary_.find(*unknown_);
  if (!id) {
    throw bad_input("the text needs the unknown token '{}', which is not in the vocabulary",
                    *unknown_);
  }
  return *id;
}

// An unknown token waits until a known character or the end: the tokens of bytes go before it, as
// in the reference.
Bpe::Ids Bpe::split_into_symbols(std::string_view piece) const {
  Ids symbols;
  symbols.reserve(piece.size());
  bool waiting = false;
  const auto flush = [&] {
    if (waiting) symbols.push_back(unknown_id());
    waiting = false;
  };
  for (std::size_t at = 0; at < piece.size();) {
    const Utf8Step step = read_utf8(piece, at);
    const std::string_view text = piece.substr(at, step.length);
    const bool first = at == 0;
    at += step.length;
    const bool last = at == piece.size();
    if (const auto id = character_id(step.value, text, first, last)) {
      flush();
      symbols.push_back(*id);
      continue;
    }
    std::string whole(text);
    if (byte_fallback_) {
      if (!first) whole.insert(0, prefix_);
      if (last) whole += suffix_;
      if (append_bytes(whole, symbols)) continue;
    }
    if (!unknown_) continue;
    if (!fuse_unknown_) flush();
    waiting = true;
  }
  flush();
  return symbols;
}

std::uint64_t Bpe::merge_of(std::int32_t left, std::int32_t right) const {
  const std::uint64_t* merge =
      merges_.find(pair_key(static_cast<std::uint32_t>(left), static_cast<std::uint32_t>(right)));
  return merge == nullptr ? kNoMerge : *merge;
}

void Bpe::merge_short(Ids& symbols) const {
  std::vector<std::uint64_t> merges;  // of symbol i and i + 1
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
    merges.push_back(merge_of(symbols[i], symbols[i + 1]));
  }
  while (!merges.empty()) {
    const auto best = std::min_element(merges.begin(), merges.end(),
                                       [](auto a, auto b) { return (a >> 32U) < (b >> 32U); });
    if (*best == kNoMerge) return;
    const auto at = static_cast<std::size_t>(best - merges.begin());
    symbols[at] = static_cast<std::int32_t>(*best & 0xffffffffU);
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    merges.erase(best);
    if (at > 0) merges[at - 1] = merge_of(symbols[at - 1], symbols[at]);
    if (at < merges.size()) merges[at] = merge_of(symbols[at], symbols[at + 1]);
  }
}

// A linked list of the symbols and a queue of the possible merges: n log n.
void Bpe::merge_long(Ids& symbols) const {
  constexpr std::uint32_t kNone = 0xffffffffU;
  struct Candidate {
    std::uint64_t merge;
    std::uint32_t left;
    std::uint32_t right;
    bool operator<(const Candidate& other) const {  // the largest leaves the queue first
      const auto rank = merge >> 32U;
      const auto other_rank = other.merge >> 32U;
      return rank != other_rank ? rank > other_rank : left > other.left;
    }
  };
  struct Links {
    std::uint32_t previous;
    std::uint32_t next;
  };
  if (symbols.size() >= kNone) throw failure("a piece of {} symbols is too long", symbols.size());
  const auto count = static_cast<std::uint32_t>(symbols.size());
  std::vector<Links> links(count);
  std::vector<Candidate> candidates;
  const auto candidate = [&](std::uint32_t left, std::uint32_t right) {
    return Candidate{merge_of(symbols[left], symbols[right]), left, right};
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    links[i] = {i == 0 ? kNone : i - 1, i + 1 == count ? kNone : i + 1};
    if (i == 0) continue;
    if (const Candidate found = candidate(i - 1, i); found.merge != kNoMerge) {
      candidates.push_back(found);
    }
  }
  std::priority_queue<Candidate> queue(std::less<Candidate>(), std::move(candidates));
  const auto propose = [&](std::uint32_t left, std::uint32_t right) {
    if (left == kNone || right == kNone) return;
    if (const Candidate found = candidate(left, right); found.merge != kNoMerge) queue.push(found);
  };
  constexpr std::int32_t kGone = -1;
  while (!queue.empty()) {
    const auto [merge, left, right] = queue.top();
    queue.pop();
    // Candidates of symbols that were merged meanwhile are stale.
    if (symbols[left] == kGone || symbols[right] == kGone || links[left].next != right ||
        merge_of(symbols[left], symbols[right]) != merge) {
      continue;
    }
    symbols[left] = static_cast<std::int32_t>(merge & 0xffffffffU);
    symbols[right] = kGone;
    const std::uint32_t next = links[right].next;
    links[left].next = next;
    if (next != kNone) links[next].previous = left;
    propose(links[left].previous, left);
    propose(left, next);
  }
  std::erase(symbols, kGone);
}

void Bpe::encode(std::string_view piece, std::vector<std::int32_t>& ids) const {
  if (ignore_merges_) {
    if (const auto id = vocabulary_.find(piece)) {
      ids.push_back(*id);
      return;
    }
  }
  Ids symbols = split_into_symbols(piece);
  if (symbols.size() <= kShort) {
    merge_short(symbols);
  } else {
    merge_long(symbols);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

}  // namespace terse
