#include "terse/tokenizer/pre_tokenizer.h"

#include "terse/tokenizer/byte_level.h"
#include "terse/tokenizer/part.h"
#include "terse/tokenizer/pattern.h"
#include "terse/tokenizer/splitting.h"
#include "terse/tokenizer/unicode.h"

namespace terse {
namespace {

using Steps = std::vector<std::unique_ptr<const PreTokenizerStep>>;

// Radford et al. 2019 (GPT-2), encoder.py.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class Split : public PreTokenizerStep {
 public:
  Split(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(Pieces& pieces) const override {
    split_pieces(pieces, invert_, behavior_,
                 [&](std::string_view piece, std::vector<Range>& found) {
                   pattern_.find_all(piece, found);
                 });
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

// Splits at single characters of a kind.
class SplitCharacters : public PreTokenizerStep {
 public:
  SplitCharacters(bool (*is_delimiter)(char32_t), SplitBehavior behavior)
      : is_delimiter_(is_delimiter), behavior_(behavior) {}

  void apply(Pieces& pieces) const override {
    split_pieces(pieces, false, behavior_, [&](std::string_view piece, std::vector<Range>& found) {
      for (std::size_t at = 0; at < piece.size();) {
        const Utf8Step step = read_utf8(piece, at);
        if (is_delimiter_(step.value)) found.push_back({at, at + step.length});
        at += step.length;
      }
    });
  }

 private:
  bool (*is_delimiter_)(char32_t);
  SplitBehavior behavior_;
};

// Runs of word characters, and runs of what is neither word nor space; spaces go.
class Whitespace : public PreTokenizerStep {
 public:
  void apply(Pieces& pieces) const override {
    split_pieces(pieces, true, SplitBehavior::removed, find);
  }

 private:
  enum class Kind { space, word, other };

  static Kind kind_of(char32_t character) {
    // The zero-width joiners are word characters to the reference here (Join_Control).
    if (is_word(character) || character == 0x200c || character == 0x200d) return Kind::word;
    return is_white_space(character) ? Kind::space : Kind::other;
  }

  static void find(std::string_view piece, std::vector<Range>& found) {
    Kind previous = Kind::space;
    for (std::size_t at = 0; at < piece.size();) {
      const Utf8Step step = read_utf8(piece, at);
      const Kind kind = kind_of(step.value);
      if (kind != Kind::space) {
        if (kind != previous) found.push_back({at, at});
        found.back().end = at + step.length;
      }
      previous = kind;
      at += step.length;
    }
  }
};

// Rewrites each piece by itself.
template <class Rewrite>
void rewrite_pieces(Pieces& pieces, Rewrite&& rewrite) {
  std::string text;
  text.reserve(pieces.text.size() + pieces.ranges.size());
  bool first = true;
  for (Range& range : pieces.ranges) {
    const std::size_t begin = text.size();
    rewrite(pieces.piece(range), first, text);
    range = {begin, text.size()};
    first = false;
  }
  pieces.text = std::move(text);
}

class PrefixSpace : public PreTokenizerStep {
 public:
  void apply(Pieces& pieces) const override {
    rewrite_pieces(pieces, [](std::string_view piece, bool, std::string& text) {
      if (piece[0] != ' ') text += ' ';
      text += piece;
    });
  }
};

class ByteCharacters : public PreTokenizerStep {
 public:
  void apply(Pieces& pieces) const override {
    rewrite_pieces(pieces, [](std::string_view piece, bool, std::string& text) {
      text += to_byte_characters(piece);
    });
  }
};

class Metaspace : public PreTokenizerStep {
 public:
  explicit Metaspace(MetaspaceOptions options)
      : options_(std::move(options)), pattern_(options_.replacement) {}

  void apply(Pieces& pieces) const override {
    rewrite_pieces(pieces, [&](std::string_view piece, bool first, std::string& text) {
      const bool spaced = piece[0] == ' ' || piece.starts_with(options_.replacement);
      if (!spaced && prepends(first && pieces.begins_input)) text += options_.replacement;
      for (const char character : piece) {
        if (character == ' ') {
          text += options_.replacement;
        } else {
          text += character;
        }
      }
    });
    if (!options_.split) return;
    split_pieces(pieces, false, SplitBehavior::merged_with_next,
                 [&](std::string_view piece, std::vector<Range>& found) {
                   pattern_.find_all(piece, found);
                 });
  }

 private:
  bool prepends(bool at_beginning) const {
    return options_.prepend == MetaspaceOptions::Prepend::always ||
           (options_.prepend == MetaspaceOptions::Prepend::first && at_beginning);
  }

  MetaspaceOptions options_;
  Pattern pattern_;
};

void add_steps(const Json& part, Steps& steps);

void add_byte_level(const Json& part, Steps& steps) {
  if (require_bool(part, "add_prefix_space")) steps.push_back(std::make_unique<PrefixSpace>());
  if (get_bool(part, "use_regex", true)) {
    steps.push_back(
        std::make_unique<Split>(Pattern(Regex(kGpt2Pattern)), SplitBehavior::isolated, false));
  }
  steps.push_back(std::make_unique<ByteCharacters>());
}

void add_steps_of(const Json& part, std::string_view type, Steps& steps) {
  if (type == "Sequence") {
    for (const Json* child : get_parts(part, "pretokenizers")) add_steps(*child, steps);
  } else if (type == "Split") {
    Pattern pattern = Pattern::read(part);
    const SplitBehavior behavior = read_split_behavior(part);
    const bool invert = require_bool(part, "invert");
    steps.push_back(std::make_unique<Split>(std::move(pattern), behavior, invert));
  } else if (type == "ByteLevel") {
    add_byte_level(part, steps);
  } else if (type == "Metaspace") {
    steps.push_back(std::make_unique<Metaspace>(read_metaspace(part)));
  } else if (type == "Whitespace") {
    steps.push_back(std::make_unique<Whitespace>());
  } else if (type == "WhitespaceSplit") {
    steps.push_back(std::make_unique<SplitCharacters>(is_white_space, SplitBehavior::removed));
  } else if (type == "Digits") {
    steps.push_back(std::make_unique<SplitCharacters>(
        is_numeric, require_bool(part, "individual_digits") ? SplitBehavior::isolated
                                                            : SplitBehavior::contiguous));
  } else if (type == "Punctuation") {
    steps.push_back(std::make_unique<SplitCharacters>(
        is_punctuation,
        has_key(part, "behavior") ? read_split_behavior(part) : SplitBehavior::isolated));
  } else {
    throw unknown_part("pre-tokenizer", type);
  }
}

void add_steps(const Json& part, Steps& steps) {
  const std::string type = get_string(part, "type");
  try {
    add_steps_of(part, type, steps);
  } catch (Error& error) {
    error.add_context(type);
    throw;
  }
}

}  // namespace

MetaspaceOptions read_metaspace(const Json& part) {
  using Prepend = MetaspaceOptions::Prepend;
  MetaspaceOptions options{"", Prepend::always, get_bool(part, "split", true)};
  append_utf8(options.replacement, get_character(part, "replacement"));
  const std::string scheme = get_string(part, "prepend_scheme", "always");
  if (scheme == "first") {
    options.prepend = Prepend::first;
  } else if (scheme == "never") {
    options.prepend = Prepend::never;
  } else if (scheme != "always") {
    throw bad_input("key 'prepend_scheme': expected always, first or never, found '{}'", scheme);
  }
  // The older name of the option.
  if (!get_bool(part, "add_prefix_space", true)) {
    if (has_key(part, "prepend_scheme") && options.prepend != Prepend::never) {
      throw bad_input("key 'add_prefix_space' is false but 'prepend_scheme' is '{}'", scheme);
    }
    options.prepend = Prepend::never;
  }
  return options;
}

void PreTokenizer::apply(Pieces& pieces) const {
  const std::size_t before = pieces.text.size();
  for (const auto& step : steps) {
    step->apply(pieces);
    check_growth(before, pieces.text.size());
  }
}

PreTokenizer read_pre_tokenizer(const Json& part) {
  PreTokenizer result;
  if (part.is_null()) return result;
  add_steps(part, result.steps);
  if (!result.steps.empty() &&
      dynamic_cast<const ByteCharacters*>(result.steps.back().get()) != nullptr) {
    result.steps.pop_back();
    result.byte_level = true;
  }
  return result;
}

}  // namespace terse
