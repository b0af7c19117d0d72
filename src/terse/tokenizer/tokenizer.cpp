#include "terse/tokenizer/tokenizer.h"

#include <mutex>

#include "terse/core/error.h"
#include "terse/tokenizer/added_tokens.h"
#include "terse/tokenizer/byte_level.h"
#include "terse/tokenizer/decoder.h"
#include "terse/tokenizer/model.h"
#include "terse/tokenizer/normalizer.h"
#include "terse/tokenizer/part.h"
#include "terse/tokenizer/post_processor.h"
#include "terse/tokenizer/pre_tokenizer.h"
#include "terse/tokenizer/unicode.h"
#include "terse/tokenizer/word_cache.h"

namespace terse {
namespace {

// Caches that no thread is using: an encode call borrows one, so none is shared.
class CachePool {
 public:
  std::unique_ptr<WordCache> take() {
    const std::lock_guard lock(mutex_);
    if (caches_.empty()) return std::make_unique<WordCache>();
    std::unique_ptr<WordCache> cache = std::move(caches_.back());
    caches_.pop_back();
    return cache;
  }
  void give_back(std::unique_ptr<WordCache> cache) {
    const std::lock_guard lock(mutex_);
    caches_.push_back(std::move(cache));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> caches_;
};

// Reads a part; errors say which it was.
template <class Read>
auto read_part(const Json& contents, const char* key, Read&& read) {
  return with_context(key, [&] {
    static const Json kNull;
    const Json& part = has_key(contents, key) ? contents[key] : kNull;
    if (!part.is_null() && !part.is_object() && !part.is_array()) {
      throw bad_input("expected an object, found {}", part.type_name());
    }
    return read(part);
  });
}

void check_version(const Json& contents) {
  const std::string version = get_string(contents, "version", "1.0");
  if (version != "1.0") throw bad_input("key 'version': expected 1.0, found '{}'", version);
}

}  // namespace

struct Tokenizer::Parts {
  explicit Parts(const Json& contents);

  const std::string* token(std::int32_t id) const;
  void encode_word(std::string_view word, WordCache& cache, std::vector<std::int32_t>& ids) const;
  void encode_piece(std::string_view piece, WordCache& cache, std::vector<std::int32_t>& ids) const;
  void encode_text(std::string text, bool begins_input, WordCache& cache,
                   std::vector<std::int32_t>& ids) const;
  void encode_raw(std::string_view text, bool begins_input, WordCache& cache,
                  std::vector<std::int32_t>& ids) const;

  std::unique_ptr<const TokenModel> model;
  std::unique_ptr<const Normalizer> normalizer;
  AddedTokens added;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  Decoder decoder;
  mutable CachePool caches;
};

Tokenizer::Parts::Parts(const Json& contents)
    : model(read_part(contents, "model", read_token_model)),
      normalizer(read_part(contents, "normalizer",
                           [](const Json& part) -> std::unique_ptr<const Normalizer> {
                             return part.is_null() ? nullptr : read_normalizer(part);
                           })),
      added(read_part(contents, "added_tokens",
                      [&](const Json& part) {
                        return AddedTokens(part, model->vocabulary(), normalizer.get());
                      })),
      pre_tokenizer(read_part(contents, "pre_tokenizer", read_pre_tokenizer)),
      post_processor(read_part(contents, "post_processor",
                               [&](const Json& part) {
                                 return PostProcessor(
                                     part, [&](std::int32_t id) { return token(id) != nullptr; });
                               })),
      decoder(read_part(contents, "decoder", [](const Json& part) { return Decoder(part); })) {}

const std::string* Tokenizer::Parts::token(std::int32_t id) const {
  const std::string* found = added.vocabulary().token(id);
  return found != nullptr ? found : model->vocabulary().token(id);
}

void Tokenizer::Parts::encode_word(std::string_view word, WordCache& cache,
                                   std::vector<std::int32_t>& ids) const {
  if (const auto [known, found] = cache.find(word); known) {
    ids.insert(ids.end(), found.begin(), found.end());
    return;
  }
  const std::size_t before = ids.size();
  if (pre_tokenizer.byte_level) {
    model->encode(to_byte_characters(word), ids);
  } else {
    model->encode(word, ids);
  }
  cache.insert(word, std::span(ids).subspan(before));
}

void Tokenizer::Parts::encode_piece(std::string_view piece, WordCache& cache,
                                    std::vector<std::int32_t>& ids) const {
  if (piece.size() <= WordCache::kLongestWord) return encode_word(piece, cache, ids);
  if (pre_tokenizer.byte_level) {
    const std::string characters = to_byte_characters(piece);
    for (std::string_view rest = characters; !rest.empty();) {
      const std::size_t length = model->independent_prefix(rest);
      model->encode(rest.substr(0, length), ids);
      rest.remove_prefix(length);
    }
    return;
  }
  for (std::string_view rest = piece; !rest.empty();) {
    const std::size_t length = model->independent_prefix(rest);
    if (length <= WordCache::kLongestWord) {
      encode_word(rest.substr(0, length), cache, ids);
    } else {
      model->encode(rest.substr(0, length), ids);
    }
    rest.remove_prefix(length);
  }
}

// A text without added tokens.
void Tokenizer::Parts::encode_text(std::string text, bool begins_input, WordCache& cache,
                                   std::vector<std::int32_t>& ids) const {
  Pieces pieces;
  pieces.ranges.push_back({0, text.size()});
  pieces.text = std::move(text);
  pieces.begins_input = begins_input;
  pre_tokenizer.apply(pieces);
  for (const Range& range : pieces.ranges) encode_piece(pieces.piece(range), cache, ids);
}

// A text without added tokens that are found before normalisation.
void Tokenizer::Parts::encode_raw(std::string_view text, bool begins_input, WordCache& cache,
                                  std::vector<std::int32_t>& ids) const {
  std::string normalized(text);
  if (normalizer != nullptr) normalized = normalizer->apply(std::move(normalized));
  for (const auto& [range, id] : added.split_normalized(normalized)) {
    if (id) {
      ids.push_back(*id);
    } else if (range.begin == 0 && range.end == normalized.size()) {
      return encode_text(std::move(normalized), begins_input, cache, ids);
    } else {
      encode_text(normalized.substr(range.begin, range.end - range.begin),
                  begins_input && range.begin == 0, cache, ids);
    }
  }
}

Tokenizer Tokenizer::load(const std::filesystem::path& tokenizer_json) {
  const Json contents = read_json(tokenizer_json);
  return with_context(tokenizer_json.string(), [&] { return parse(contents); });
}

Tokenizer Tokenizer::parse(const Json& contents) {
  check_version(contents);
  return Tokenizer(std::make_shared<const Parts>(contents));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  std::string repaired;
  if (!is_utf8(text)) {
    repaired = replace_malformed_utf8(text);
    text = repaired;
  }
  std::vector<std::int32_t> ids;
  std::unique_ptr<WordCache> cache = parts_->caches.take();
  for (const auto& [range, id] : parts_->added.split_raw(text)) {
    if (id) {
      ids.push_back(*id);
    } else {
      parts_->encode_raw(text.substr(range.begin, range.end - range.begin), range.begin == 0,
                         *cache, ids);
    }
  }
  parts_->caches.give_back(std::move(cache));
  return parts_->post_processor.apply(ids, add_special_tokens);
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  StreamDecoder stream(*this, skip_special_tokens);
  std::string text;
  for (const std::int32_t id : ids) text += stream.push(id);
  text += stream.finish();
  return text;
}

std::int64_t Tokenizer::vocab_size() const {
  auto size = static_cast<std::int64_t>(parts_->model->vocabulary().size());
  for (const auto& [id, token] : parts_->added.vocabulary().tokens()) {
    if (parts_->model->vocabulary().token(id) == nullptr) ++size;
  }
  return size;
}

std::optional<std::int32_t> Tokenizer::token_id(std::string_view token) const {
  const auto added = parts_->added.vocabulary().find(token);
  return added ? added : parts_->model->vocabulary().find(token);
}

std::string Tokenizer::token(std::int32_t id) const {
  const std::string* found = parts_->token(id);
  if (found == nullptr) throw bad_input("the tokenizer has no token with the id {}", id);
  return *found;
}

bool Tokenizer::is_special(std::int32_t id) const {
  return parts_->added.is_special(id);
}

struct StreamDecoder::State {
  std::shared_ptr<const Tokenizer::Parts> parts;
  Decoder decoder;
  bool skip_special_tokens;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : state_(std::make_unique<State>(
          State{tokenizer.parts_, tokenizer.parts_->decoder, skip_special_tokens})) {}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;

std::string StreamDecoder::push(std::int32_t id) {
  std::string text;
  const std::string* token = state_->parts->token(id);
  const bool skipped = state_->skip_special_tokens && state_->parts->added.is_special(id);
  if (token != nullptr && !skipped) state_->decoder.push(*token, text);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  state_->decoder.finish(text);
  return text;
}

}  // namespace terse
