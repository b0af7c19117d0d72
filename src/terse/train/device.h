// Where tensors live.
#pragma once

#include "terse/train/torch.h"

#include <string>

namespace terse::train {

/// The device of a name such as "cpu" or "cuda:0". Errors: bad_usage.
torch::Device parse_device(const std::string& name);

}  // namespace terse::train
