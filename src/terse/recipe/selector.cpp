#include "terse/recipe/selector.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "terse/core/error.h"
#include "terse/formats/name_pattern.h"

namespace terse {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = text.find_first_not_of(kSpace); at != std::string_view::npos;) {
    const std::size_t end = text.find_first_of(kSpace, at);
    words.emplace_back(text.substr(at, end - at));
    at = text.find_first_not_of(kSpace, end);
  }
  return words;
}

bool in_attention(LinearRole role) {
  const Stage stage = stage_of(role);
  return stage == Stage::attention_input || stage == Stage::attention_output;
}

std::optional<LinearRole> role_named(std::string_view word) {
  for (const LinearRole role :
       {LinearRole::q_proj, LinearRole::k_proj, LinearRole::v_proj, LinearRole::qkv_proj,
        LinearRole::o_proj, LinearRole::gate_proj, LinearRole::up_proj, LinearRole::down_proj}) {
    if (role_name(role) == word) return role;
  }
  return std::nullopt;
}

// Blocks as written: negative numbers count from the end.
struct BlockRange {
  std::int64_t first;
  std::int64_t last;

  bool contains(std::int64_t block, std::int64_t blocks) const {
    return block >= resolved(first, blocks) && block <= resolved(last, blocks);
  }
  static std::int64_t resolved(std::int64_t number, std::int64_t blocks) {
    return number < 0 ? blocks + number : number;
  }
};

// "3", "0-5", "-2", "-4--1". Bounds of one sign must not fall; those of two depend on the model.
std::optional<BlockRange> parse_range(std::string_view word) {
  BlockRange range{};
  const char* end = word.data() + word.size();
  const auto first = std::from_chars(word.data(), end, range.first);
  if (first.ec != std::errc()) return std::nullopt;
  range.last = range.first;
  if (first.ptr == end) return range;
  if (*first.ptr != '-') return std::nullopt;
  const auto last = std::from_chars(first.ptr + 1, end, range.last);
  if (last.ec != std::errc() || last.ptr != end) return std::nullopt;
  const bool one_sign = (range.first < 0) == (range.last < 0);
  return one_sign && range.first > range.last ? std::nullopt : std::optional(range);
}

BlockRange block_range(const std::vector<std::string>& words, std::size_t at) {
  const std::string word = at < words.size() ? words[at] : "";
  const std::optional<BlockRange> range = parse_range(word);
  if (!range) {
    throw bad_usage("expected blocks by number as in 'blocks 0-5' or 'blocks -4--1', found '{}'",
                    word);
  }
  return *range;
}

NamePattern name_pattern(const std::string& word) {
  try {
    return {word, NamePattern::Anchor::none};
  } catch (const Error& error) {
    throw bad_usage("'{}' is no role and {}", word, error.what());
  }
}

using Condition = std::function<bool(const LinearPlace& place, std::int64_t blocks)>;

// The condition that begins at words[at]; moves on to its last word.
Condition condition(const std::vector<std::string>& words, std::size_t& at) {
  const std::string& word = words[at];
  if (word == "block" || word == "blocks") {
    return [range = block_range(words, ++at)](const LinearPlace& place, std::int64_t blocks) {
      return range.contains(place.block, blocks);
    };
  }
  if (word == "attention" || word == "mlp") {
    return [attention = word == "attention"](const LinearPlace& place, std::int64_t) {
      return in_attention(place.role) == attention;
    };
  }
  if (const auto role = role_named(word)) {
    return [role = *role](const LinearPlace& place, std::int64_t) { return place.role == role; };
  }
  return [pattern = name_pattern(word)](const LinearPlace& place, std::int64_t) {
    return pattern.matches(place.module);
  };
}

}  // namespace

std::vector<LinearPlace> linear_places(const Model& model) {
  const Architecture& a = model.architecture();
  std::vector<LinearPlace> places;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const LinearKey& key : a.block_linears(block)) {
      places.push_back({block, key.role, model.linear_module(block, key), key.expert});
    }
  }
  return places;
}

Selector::Selector(const std::string& text) : text_(text) {
  const std::vector<std::string> words = words_of(text);
  with_context("selector '" + text + "'", [&] {
    if (words.empty()) throw bad_usage("says nothing");
    for (std::size_t i = 0; i < words.size(); ++i) terms_.push_back(condition(words, i));
  });
}

bool Selector::matches(const LinearPlace& place, std::int64_t blocks) const {
  return with_context("selector '" + text_ + "'", [&] {
    return std::ranges::all_of(terms_, [&](const Term& term) { return term(place, blocks); });
  });
}

}  // namespace terse
