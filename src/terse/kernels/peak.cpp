#include "terse/kernels/peak.h"

#include "terse/kernels/kernel_table.h"

namespace terse::kernels {

std::int64_t multiply_bytes(std::int64_t rounds) {
  return kernel_table().multiply_bytes(rounds);
}

std::int64_t multiply_floats(std::int64_t rounds) {
  return kernel_table().multiply_floats(rounds);
}

}  // namespace terse::kernels
