#include "terse/kernels/kernel_table.inc.h"

namespace terse::kernels {

const KernelTable kAvx2Kernels = kKernels;

}  // namespace terse::kernels
