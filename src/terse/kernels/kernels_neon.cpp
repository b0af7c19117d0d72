#include "terse/kernels/kernel_table.inc.h"

namespace terse::kernels {

const KernelTable kNeonKernels = kKernels;

}  // namespace terse::kernels
