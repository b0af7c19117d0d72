// Any bytes as a .npy file: refused, or as many ids as its shape says.
#include "terse/formats/npy.h"

#include <cstdlib>

#include "terse/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const terse::TokenArray tokens = terse::parse_npy(std::as_bytes(std::span(data, size)));
    if (static_cast<std::size_t>(terse::element_count(tokens.shape)) != tokens.ids.size()) {
      std::abort();
    }
    for (const std::int32_t id : tokens.ids) {
      if (id < 0) std::abort();
    }
  } catch (const terse::Error& error) {
    if (error.kind() != terse::ErrorKind::bad_input) std::abort();
  }
  return 0;
}
