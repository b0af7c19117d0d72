// What a config.json says of a shape by the keys of its family.
#pragma once

#include <optional>

#include "terse/core/json.h"
#include "terse/model/architecture.h"

namespace terse {

/// `config` with heads and channels of `wanted`, so that any reader of the family's models finds
/// them; nothing when the family's keys cannot say this shape. The number of blocks must be there.
std::optional<Json> family_config(Json config, const Architecture& wanted);

}  // namespace terse
