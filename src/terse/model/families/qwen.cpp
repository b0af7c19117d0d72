#include "terse/model/families/qwen.h"

#include "terse/core/error.h"

namespace terse {

void read_qwen_windows(const Json& config, std::int64_t max_window_layers_absent,
                       Architecture& architecture) {
  if (!get_bool(config, "use_sliding_window", false)) return;
  const std::int64_t window = get_integer(config, "sliding_window", 4096);
  const std::int64_t first = get_integer(config, "max_window_layers", max_window_layers_absent);
  for (std::size_t i = 0; i < architecture.sliding_window.size(); ++i) {
    architecture.sliding_window[i] = static_cast<std::int64_t>(i) >= first ? window : 0;
  }
  if (!has_key(config, "layer_types")) return;
  const Json& types = get_array(config, "layer_types");
  if (types.size() != architecture.sliding_window.size()) {
    throw bad_input("layer_types has {} entries for {} blocks", types.size(),
                    architecture.sliding_window.size());
  }
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (types[i] != "sliding_attention" && types[i] != "full_attention") {
      throw bad_input("layer_types holds {}; expected \"full_attention\" or \"sliding_attention\"",
                      types[i].dump());
    }
    architecture.sliding_window[i] = types[i] == "sliding_attention" ? window : 0;
  }
}

}  // namespace terse
