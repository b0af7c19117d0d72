// Any text as a quantization_config or terse_config: refused, or read the same again after it is
// written.
#include "terse/formats/compressed_tensors.h"

#include <cstdlib>

#include "terse/core/error.h"
#include "terse/formats/sparse_config.h"
#include "terse/formats/terse_config.h"

namespace {

void read_quantization(const terse::Json& json) {
  const auto config = terse::QuantizationConfig::parse(json);
  if (terse::QuantizationConfig::parse(config.to_json()) != config) std::abort();
  config.scheme_for("model.layers.0.self_attn.q_proj", "Linear");
  config.scheme_for("lm_head", "Linear");
}

void read_ours(const terse::Json& json) {
  const auto config = terse::TerseConfig::parse(json);
  if (terse::TerseConfig::parse(config.to_json()) != config) std::abort();
  config.group_for("model.layers.0.self_attn.q_proj");
  for (const terse::StorageGroup& group : config.groups) {
    const auto storage = terse::parse_sparse_scheme(group.storage);
    if (storage && terse::parse_sparse_scheme(to_json(*storage)) != storage) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const terse::Json json = terse::parse_json(text);
    const bool ours = json.is_object() && json.contains("groups");
    ours ? read_ours(json) : read_quantization(json);
  } catch (const terse::Error& error) {
    if (error.kind() != terse::ErrorKind::bad_input) std::abort();
  }
  return 0;
}
