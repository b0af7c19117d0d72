#include "terse/tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "terse/core/error.h"
#include "terse/tokenizer/part.h"
#include "terse/tokenizer/regex.h"
#include "terse/tokenizer/unicode.h"

namespace terse {
namespace {

constexpr double kUnknownPenalty = 10;

}  // namespace

Unigram::Unigram(const Json& part) : byte_fallback_(get_bool(part, "byte_fallback", false)) {
  read_vocabulary(part);
  if (has_key(part, "unk_id")) {
    unknown_ = static_cast<std::int32_t>(
        get_count(part, "unk_id", static_cast<std::int64_t>(scores_.size()) - 1));
  }
  unknown_score_ = *std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty;
}

void Unigram::read_vocabulary(const Json& part) {
  const Json& entries = get_array(part, "vocab");
  if (entries.empty()) throw bad_input("key 'vocab' is empty");
  if (entries.size() > kMaximumId) {
    throw bad_input("key 'vocab' has {} entries, which is too many", entries.size());
  }
  for (const Json& entry : entries) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      throw bad_input("key 'vocab': entry {} is not [token, score]", scores_.size());
    }
    const auto id = static_cast<std::int32_t>(scores_.size());
    const auto token = entry[0].get<std::string>();
    if (!token.empty()) trie_.insert(token, id);
    vocabulary_.add(token, id);
    scores_.push_back(entry[1].get<double>());
    if (!std::isfinite(scores_.back())) {
      throw bad_input("key 'vocab': the score of '{}' is not finite", token);
    }
  }
}

std::int32_t Unigram::unknown_id() const {
  if (!unknown_) throw bad_input("the text needs an unknown token, but key 'unk_id' is missing");
  return *unknown_;
}

void Unigram::append(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (const auto id = vocabulary_.find(text)) {
    ids.push_back(*id);
    return;
  }
  if (byte_fallback_) {
    std::vector<std::int32_t> bytes;
    for (const char byte : text) {
      const auto id = vocabulary_.find(byte_token(static_cast<unsigned char>(byte)));
      if (!id) break;
      bytes.push_back(*id);
    }
    if (bytes.size() == text.size()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
      return;
    }
  }
  ids.push_back(unknown_id());
}

void Unigram::encode(std::string_view piece, std::vector<std::int32_t>& ids) const {
  struct Best {  // the best path that ends here: its score, its last token and where that begins
    double score;
    std::int32_t id;
    std::size_t begin;
  };
  constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();
  std::vector<Best> best(piece.size() + 1, Best{0, -1, kNowhere});
  for (std::size_t at = 0; at < piece.size();) {
    const double here = best[at].score;
    const std::size_t character = read_utf8(piece, at).length;
    const auto offer = [&](std::size_t length, std::int32_t id, double score) {
      Best& end = best[at + length];
      if (end.begin == kNowhere || here + score > end.score) end = {here + score, id, at};
    };
    bool is_token = false;
    trie_.for_each_prefix(piece.substr(at), [&](std::size_t length, std::int32_t id) {
      is_token = is_token || length == character;
      offer(length, id, scores_[static_cast<std::size_t>(id)]);
    });
    if (!is_token) offer(character, unknown_id(), unknown_score_);
    at += character;
  }
  std::vector<Range> tokens;  // from the last to the first; runs of unknown ones are one
  bool fusing = false;
  for (std::size_t end = piece.size(); end > 0; end = best[end].begin) {
    const bool unknown = best[end].id == unknown_;
    if (unknown && fusing) {
      tokens.back().begin = best[end].begin;
    } else {
      tokens.push_back({best[end].begin, end});
    }
    fusing = unknown;
  }
  for (auto token = tokens.rbegin(); token != tokens.rend(); ++token) {
    append(piece.substr(token->begin, token->end - token->begin), ids);
  }
}

}  // namespace terse
