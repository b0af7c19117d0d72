// What the Qwen families share.
#pragma once

#include "terse/model/family.h"

namespace terse {

/// Sliding windows of Qwen2 and Qwen3: by `layer_types` where it is given, else in the blocks from
/// `max_window_layers` on; nowhere unless `use_sliding_window` is true.
void read_qwen_windows(const Json& config, std::int64_t max_window_layers_absent,
                       Architecture& architecture);

}  // namespace terse
