// Any text as a quantization_config: refused, or read the same again after it is written.
#include "terse/formats/compressed_tensors.h"

#include <cstdlib>

#include "terse/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto config = terse::QuantizationConfig::parse(terse::parse_json(text));
    if (terse::QuantizationConfig::parse(config.to_json()) != config) std::abort();
    config.scheme_for("model.layers.0.self_attn.q_proj", "Linear");
    config.scheme_for("lm_head", "Linear");
  } catch (const terse::Error& error) {
    if (error.kind() != terse::ErrorKind::bad_input) std::abort();
  }
  return 0;
}
