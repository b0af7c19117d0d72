// The header of a safetensors file, for who writes the bytes behind it.
#pragma once

#include <string>
#include <vector>

#include "terse/formats/safetensors.h"

namespace terse {

/// Length and header, padded so that the data behind it is aligned to 8 bytes.
std::string safetensors_header_text(const std::vector<SafetensorsEntry>& tensors,
                                    const SafetensorsMetadata& metadata);

}  // namespace terse
