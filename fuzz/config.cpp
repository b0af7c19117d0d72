// Reads the input as a config.json; where it describes a model, its rotary frequencies are those of
// a model that can run. Nothing but bad_input may leave.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "terse/core/error.h"
#include "terse/core/json.h"
#include "terse/model/architecture.h"
#include "terse/model/rotary.h"

namespace {

constexpr std::size_t kLongestFile = 1 << 12;

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const terse::Architecture& a) {
  require(a.sliding_window.size() == static_cast<std::size_t>(a.num_hidden_layers));
  require(a.attention_scale.size() == a.sliding_window.size());
  for (const double scale : a.attention_scale) require(scale > 0 && std::isfinite(scale));
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const terse::LinearRole role : a.roles(block)) {
      require(a.in_features(block, role) > 0 && a.out_features(block, role) > 0);
    }
    if (!a.has_experts(block)) continue;
    require(a.experts.per_token > 0 && a.experts.per_token <= a.shape(block).num_experts);
  }
  require(a.context_length() >= a.max_position_embeddings);
  if (!a.rotary) return;
  for (const std::int64_t length : {std::int64_t{1}, std::int64_t{40}, a.context_length()}) {
    for (const float frequency : terse::rotary_frequencies(a.rope, length)) {
      require(frequency >= 0 && std::isfinite(frequency));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kLongestFile) return 0;
  try {
    check(
        terse::parse_architecture(terse::parse_json({reinterpret_cast<const char*>(data), size})));
  } catch (const terse::Error& error) {
    require(error.kind() == terse::ErrorKind::bad_input);
  }
  return 0;
}
