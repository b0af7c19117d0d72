#include "terse/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <vector>

#include "terse/tokenizer/part.h"
#include "terse/tokenizer/pattern.h"
#include "terse/tokenizer/precompiled.h"
#include "terse/tokenizer/unicode.h"

namespace terse {
namespace {

// The normal forms of Unicode Standard Annex 15.
class NormalForm : public Normalizer {
 public:
  explicit NormalForm(int options) : options_(static_cast<utf8proc_option_t>(options)) {}

  std::string apply(std::string text) const override {
    if (is_ascii(text)) return text;
    utf8proc_uint8_t* mapped = nullptr;
    const utf8proc_ssize_t size =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                     static_cast<utf8proc_ssize_t>(text.size()), &mapped, options_);
    if (size < 0) throw failure("normalising a text failed: {}", utf8proc_errmsg(size));
    const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owned(mapped, std::free);
    return {reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size)};
  }

 private:
  utf8proc_option_t options_;
};

class Lowercase : public Normalizer {
 public:
  std::string apply(std::string text) const override { return lower_case(text); }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  std::string apply(std::string text) const override {
    std::size_t first = text.size();  // of the first character that stays
    std::size_t last = 0;             // past the last one
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = read_utf8(text, at);
      if (!is_white_space(step.value)) {
        first = std::min(first, at);
        last = at + step.length;
      }
      at += step.length;
    }
    const std::size_t begin = left_ ? first : 0;
    const std::size_t end = right_ ? last : text.size();
    return begin < end ? text.substr(begin, end - begin) : std::string();
  }

 private:
  bool left_;
  bool right_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}

  std::string apply(std::string text) const override {
    return text.empty() ? std::move(text) : prefix_ + text;
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  std::string apply(std::string text) const override {
    return pattern_.replace_all(text, content_);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(const Json& part) {
    for (const Json* child : get_parts(part, "normalizers"))
      parts_.push_back(read_normalizer(*child));
  }

  std::string apply(std::string text) const override {
    const std::size_t before = text.size();
    for (const auto& part : parts_) {
      text = part->apply(std::move(text));
      check_growth(before, text.size());
    }
    return text;
  }

 private:
  std::vector<std::unique_ptr<const Normalizer>> parts_;
};

std::unique_ptr<const Normalizer> make(const Json& part, std::string_view type) {
  const auto form = [](int options) {
    return std::make_unique<NormalForm>(UTF8PROC_STABLE | options);
  };
  if (type == "NFC") return form(UTF8PROC_COMPOSE);
  if (type == "NFD") return form(UTF8PROC_DECOMPOSE);
  if (type == "NFKC") return form(UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  if (type == "NFKD") return form(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "Strip") {
    const bool left = require_bool(part, "strip_left");
    const bool right = require_bool(part, "strip_right");
    return std::make_unique<Strip>(left, right);
  }
  if (type == "Prepend") return std::make_unique<Prepend>(get_string(part, "prepend"));
  if (type == "Replace") {
    Pattern pattern = Pattern::read(part);
    return std::make_unique<Replace>(std::move(pattern), get_string(part, "content"));
  }
  if (type == "Precompiled") {
    return std::make_unique<Precompiled>(get_string(part, "precompiled_charsmap"));
  }
  if (type == "Sequence") return std::make_unique<Sequence>(part);
  throw unknown_part("normalizer", type);
}

}  // namespace

std::unique_ptr<const Normalizer> read_normalizer(const Json& part) {
  const std::string type = get_string(part, "type");
  try {
    return make(part, type);
  } catch (Error& error) {
    error.add_context(type);
    throw;
  }
}

}  // namespace terse
