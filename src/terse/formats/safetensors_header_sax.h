// The JSON of a safetensors header, read straight into entries: no document tree is built, so
// that memory stays near the size of the header whatever it holds.
#pragma once

#include <string_view>

namespace terse {

struct SafetensorsHeader;

/// Fills `tensors` and `metadata` of `header`. Checks the form only: keys, types, ranges of
/// numbers; not sizes against offsets. Errors: bad_input, naming the tensor.
void read_safetensors_json(std::string_view text, SafetensorsHeader& header);

}  // namespace terse
