#include "terse/tokenizer/decoder_stages.h"

#include <charconv>
#include <optional>

#include "terse/tokenizer/byte_level.h"
#include "terse/tokenizer/part.h"
#include "terse/tokenizer/unicode.h"

namespace terse {
namespace {

// Supplies clone().
template <class Derived>
class Stage : public DecoderStage {
 public:
  StagePtr clone() const override {
    return std::make_unique<Derived>(static_cast<const Derived&>(*this));
  }
  void finish(std::vector<Fragment>&) override {}
};

// A stage that must see whole tokens: it collects the fragments of one.
template <class Derived>
class WholeTokens : public Stage<Derived> {
 public:
  void push(Fragment fragment, std::vector<Fragment>& out) final {
    token_ += fragment.text;
    if (!fragment.ends_token) return;
    static_cast<Derived*>(this)->token(token_, out);
    token_.clear();
  }

 private:
  std::string token_;
};

class ByteLevel : public WholeTokens<ByteLevel> {
 public:
  void token(const std::string& text, std::vector<Fragment>& out) {
    bytes_ += from_byte_characters(text).value_or(text);
    // A character may still lack its last bytes.
    std::size_t complete = bytes_.size();
    for (std::size_t back = 1; back <= 3 && back <= bytes_.size(); ++back) {
      const std::size_t at = bytes_.size() - back;
      const Utf8Step step = read_utf8(bytes_, at);
      if (step.kind == Utf8Step::Kind::incomplete) complete = at;
    }
    if (complete == 0) return;
    out.push_back(
        {replace_malformed_utf8(std::string_view(bytes_).substr(0, complete)), begins_, false});
    begins_ = false;
    bytes_.erase(0, complete);
  }
  void finish(std::vector<Fragment>& out) override {
    out.push_back({replace_malformed_utf8(bytes_), begins_, true});
  }

 private:
  std::string bytes_;
  bool begins_ = true;
};

class ByteFallback : public WholeTokens<ByteFallback> {
 public:
  void token(const std::string& text, std::vector<Fragment>& out) {
    if (const auto byte = byte_of(text)) {
      bytes_.push_back(static_cast<char>(*byte));
      return;
    }
    flush(out);
    out.push_back({text, true, true});
  }
  void finish(std::vector<Fragment>& out) override { flush(out); }

 private:
  static std::optional<unsigned char> byte_of(std::string_view text) {
    if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
    unsigned char byte = 0;
    const char* end = text.data() + 5;
    const auto [stopped, error] = std::from_chars(text.data() + 3, end, byte, 16);
    return error == std::errc() && stopped == end ? std::optional(byte) : std::nullopt;
  }

  void flush(std::vector<Fragment>& out) {
    if (is_utf8(bytes_)) {
      if (!bytes_.empty()) out.push_back({bytes_, true, true});
    } else {
      out.insert(out.end(), bytes_.size(), Fragment{"\ufffd", true, true});
    }
    bytes_.clear();
  }

  std::string bytes_;
};

class Metaspace : public Stage<Metaspace> {
 public:
  explicit Metaspace(MetaspaceOptions options) : options_(std::move(options)) {
    in_first_ = options_.prepend != MetaspaceOptions::Prepend::never;
  }

  void push(Fragment fragment, std::vector<Fragment>& out) override {
    const Pattern pattern(options_.replacement);
    fragment.text = pattern.replace_all(fragment.text, in_first_ ? "" : " ");
    in_first_ = in_first_ && !fragment.ends_token;
    out.push_back(std::move(fragment));
  }

 private:
  MetaspaceOptions options_;
  bool in_first_;
};

class Replace : public WholeTokens<Replace> {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  void token(const std::string& text, std::vector<Fragment>& out) {
    out.push_back({pattern_.replace_all(text, content_), true, true});
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Fuse : public Stage<Fuse> {
 public:
  void push(Fragment fragment, std::vector<Fragment>& out) override {
    out.push_back({std::move(fragment.text), begins_, false});
    begins_ = false;
  }
  void finish(std::vector<Fragment>& out) override { out.push_back({"", begins_, true}); }

 private:
  bool begins_ = true;
};

class StripStart : public Stage<StripStart> {
 public:
  StripStart(std::string character, std::int64_t count)
      : character_(std::move(character)), count_(count) {}

  void push(Fragment fragment, std::vector<Fragment>& out) override {
    if (fragment.begins_token) left_ = count_;
    std::size_t begin = 0;
    for (; left_ > 0 && begin < fragment.text.size(); begin += character_.size()) {
      const bool matches = fragment.text.compare(begin, character_.size(), character_) == 0;
      left_ = matches ? left_ - 1 : 0;
      if (!matches) break;
    }
    fragment.text.erase(0, begin);
    out.push_back(std::move(fragment));
  }

 private:
  std::string character_;
  std::int64_t count_;
  std::int64_t left_ = 0;  // how many may still go from this token
};

class StripEnds : public WholeTokens<StripEnds> {
 public:
  StripEnds(std::string character, std::int64_t start, std::int64_t stop)
      : character_(std::move(character)), start_(start), stop_(stop) {}

  void token(const std::string& text, std::vector<Fragment>& out) {
    std::string_view rest = text;
    for (std::int64_t i = 0; i < start_ && rest.starts_with(character_); ++i) {
      rest.remove_prefix(character_.size());
    }
    for (std::int64_t i = 0; i < stop_ && rest.ends_with(character_); ++i) {
      rest.remove_suffix(character_.size());
    }
    out.push_back({std::string(rest), true, true});
  }

 private:
  std::string character_;
  std::int64_t start_;
  std::int64_t stop_;
};

class SpaceJoiner : public Stage<SpaceJoiner> {
 public:
  void push(Fragment fragment, std::vector<Fragment>& out) override {
    if (!first_) fragment.text.insert(fragment.text.begin(), ' ');
    first_ = false;
    out.push_back(std::move(fragment));
  }

 private:
  bool first_ = true;
};

}  // namespace

StagePtr make_byte_level_decoder() {
  return std::make_unique<ByteLevel>();
}

StagePtr make_byte_fallback_decoder() {
  return std::make_unique<ByteFallback>();
}

StagePtr make_metaspace_decoder(MetaspaceOptions options) {
  return std::make_unique<Metaspace>(std::move(options));
}

StagePtr make_replace_decoder(Pattern pattern, std::string content) {
  return std::make_unique<Replace>(std::move(pattern), std::move(content));
}

StagePtr make_fuse_decoder() {
  return std::make_unique<Fuse>();
}

StagePtr make_strip_decoder(char32_t character, std::int64_t start, std::int64_t stop) {
  std::string text;
  append_utf8(text, character);
  if (stop == 0) return std::make_unique<StripStart>(std::move(text), start);
  return std::make_unique<StripEnds>(std::move(text), start, stop);
}

StagePtr make_space_joiner() {
  return std::make_unique<SpaceJoiner>();
}

}  // namespace terse
