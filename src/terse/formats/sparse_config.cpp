#include "terse/formats/sparse_config.h"

#include "terse/core/error.h"
#include "terse/formats/quantization_config.h"

namespace terse {

std::string_view layout_name(SparseLayout layout) {
  return layout == SparseLayout::bitmap ? "bitmap" : "2:4";
}

Json to_json(const SparseScheme& scheme) {
  Json json = {{"layout", layout_name(scheme.layout)}};
  if (scheme.quantization) json["quantization"] = scheme_json(*scheme.quantization);
  return json;
}

std::optional<SparseScheme> parse_sparse_scheme(const Json& json) {
  const std::string name = get_string(json, "layout");
  for (const SparseLayout layout : {SparseLayout::bitmap, SparseLayout::two_four}) {
    if (name != layout_name(layout)) continue;
    SparseScheme scheme{layout, {}};
    if (has_key(json, "quantization")) {
      scheme.quantization = with_context(
          "quantization", [&] { return parse_scheme_json(get_object(json, "quantization")); });
    }
    return scheme;
  }
  return std::nullopt;
}

std::optional<SparseLayout> legacy_sparse_layout(const Json& quantization_config) {
  constexpr const char* kKey = "sparsity_config";
  if (!has_key(quantization_config, kKey)) return std::nullopt;
  const Json& sparsity = get_object(quantization_config, kKey);
  if (sparsity.empty()) return std::nullopt;
  const std::string format = get_string(sparsity, "format");
  if (format == "dense") return std::nullopt;
  if (format == "sparse-bitmask") return SparseLayout::bitmap;
  if (format == "sparse-24-bitmask") return SparseLayout::two_four;
  throw bad_input(
      "key '{}': format '{}' is not supported; expected sparse-bitmask or sparse-24-bitmask", kKey,
      format);
}

}  // namespace terse
