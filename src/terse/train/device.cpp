#include "terse/train/device.h"

#include "terse/core/error.h"

namespace terse::train {

torch::Device parse_device(const std::string& name) {
  try {
    return torch::Device(name);
  } catch (const c10::Error&) {
    throw bad_usage("device '{}' is none that libtorch knows", name);
  }
}

}  // namespace terse::train
