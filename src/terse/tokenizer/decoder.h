// The `decoder` of a tokenizer.json: it turns tokens back into a text. It is written as a stream,
// token after token, so that what is shown while a model writes is what the whole decodes to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"

namespace terse {

/// A part of a token on its way through the stages. A stage that joins tokens gives one token in
/// many fragments: the first begins it, the last ends it.
struct Fragment {
  std::string text;
  bool begins_token;
  bool ends_token;
};

/// A stage with the state of one stream. Every text is UTF-8.
class DecoderStage {
 public:
  virtual ~DecoderStage() = default;
  virtual void push(Fragment fragment, std::vector<Fragment>& out) = 0;
  /// The end of the stream: appends what was held back.
  virtual void finish(std::vector<Fragment>& out) = 0;
  /// A stage with the same options at the beginning of a stream, made from one that is there.
  virtual std::unique_ptr<DecoderStage> clone() const = 0;
};

/// The stages one after another.
class Decoder {
 public:
  /// Kinds: ByteLevel, ByteFallback, Metaspace, Replace, Fuse, Strip, Sequence. `part` may be
  /// null: then tokens are joined by spaces. Errors: bad_input naming the part.
  explicit Decoder(const Json& part);
  Decoder(const Decoder& other);
  Decoder& operator=(const Decoder&) = delete;

  /// Appends to `text` what is certain after one more token; `finish` appends the rest.
  /// Errors: failed when the text grows out of bounds or a regex gives up.
  void push(std::string_view token, std::string& text);
  void finish(std::string& text);

 private:
  void add_part(const Json& part);
  void run(std::size_t first_stage, std::vector<Fragment> fragments, std::string& text);

  std::vector<std::unique_ptr<DecoderStage>> stages_;
};

}  // namespace terse
