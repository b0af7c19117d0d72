// Any text as a quantization_config or terse_config: refused, or read the same again after it is
// written.
#include "terse/formats/compressed_tensors.h"

#include <cstdlib>

#include "terse/core/error.h"
#include "terse/formats/sparse_config.h"

namespace {

void read_quantization(const terse::Json& json) {
  const auto config = terse::QuantizationConfig::parse(json);
  if (terse::QuantizationConfig::parse(config.to_json()) != config) std::abort();
  config.scheme_for("model.layers.0.self_attn.q_proj", "Linear");
  config.scheme_for("lm_head", "Linear");
}

void read_sparse(const terse::Json& json) {
  const auto config = terse::SparseConfig::parse(json);
  if (terse::SparseConfig::parse(config.to_json()) != config) std::abort();
  config.group_for("model.layers.0.self_attn.q_proj");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const terse::Json json = terse::parse_json(text);
    const bool sparse = json.is_object() && json.contains("groups");
    sparse ? read_sparse(json) : read_quantization(json);
  } catch (const terse::Error& error) {
    if (error.kind() != terse::ErrorKind::bad_input) std::abort();
  }
  return 0;
}
