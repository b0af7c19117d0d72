// Reads the input as a tokenizer.json; where it is one, a short text goes through it and back.
// Nothing but terse::Error may leave, and streaming must agree with decoding at once.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "terse/core/error.h"
#include "terse/core/json.h"
#include "terse/tokenizer/tokenizer.h"

namespace {

constexpr std::size_t kLongestFile = 1 << 14;
constexpr std::string_view kText =
    "Hello,  <s> w\xc3\xb6rld 12 \xe4\xb8\xad\xf0\x9f\x99\x82\n\t it's \xff\xe2\x82 ab</s>";

void check(const terse::Tokenizer& tokenizer) {
  const auto ids = tokenizer.encode(kText);
  for (const bool skip : {true, false}) {
    terse::StreamDecoder stream(tokenizer, skip);
    std::string streamed;
    for (const std::int32_t id : ids) streamed += stream.push(id);
    streamed += stream.finish();
    if (streamed != tokenizer.decode(ids, skip)) std::abort();
  }
  for (const std::int32_t id : ids) {
    if (tokenizer.token(id).size() > kLongestFile) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kLongestFile) return 0;
  try {
    check(terse::Tokenizer::parse(terse::parse_json({reinterpret_cast<const char*>(data), size})));
  } catch (const terse::Error&) {
    // What a refused file or text gives.
  }
  return 0;
}
