// Any bytes as a file of prompts: requests that hold what their lines say, or one line that says
// which line is wrong. Nothing but bad_input may leave.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "terse/core/error.h"
#include "terse/model/text/batch_file.h"

namespace {

constexpr std::size_t kLongest = 1 << 14;

void require(bool holds) {
  if (!holds) std::abort();
}

// The request as a line again.
std::string to_line(const terse::BatchRequest& request) {
  terse::OrderedJson json;
  if (request.prompt) {
    json["prompt"] = *request.prompt;
  } else {
    json["messages"] = request.messages;
  }
  if (!request.id.is_null()) json["id"] = request.id;
  if (request.seed) json["seed"] = *request.seed;
  if (request.max_tokens) json["max_tokens"] = *request.max_tokens;
  if (request.stop_strings) json["stop"] = *request.stop_strings;
  return json.dump();
}

void check(const terse::BatchRequest& request) {
  require(request.prompt.has_value() == request.messages.is_null());
  require(!request.max_tokens || *request.max_tokens >= 1);
  for (const std::string& stop : request.stop_strings.value_or(std::vector<std::string>())) {
    require(!stop.empty());
  }
  const auto again = terse::parse_batch(to_line(request));
  require(again.size() == 1 && to_line(again.front()) == to_line(request));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kLongest) return 0;
  try {
    std::size_t line = 0;
    for (const auto& request : terse::parse_batch({reinterpret_cast<const char*>(data), size})) {
      require(request.line > line);
      line = request.line;
      check(request);
    }
  } catch (const terse::Error& error) {
    require(error.kind() == terse::ErrorKind::bad_input);
    require(std::string_view(error.what()).starts_with("line "));
  }
  return 0;
}
