#include "terse/kernels/kernel_table.inc.h"

namespace terse::kernels {

const KernelTable kAvx512Kernels = kKernels;

}  // namespace terse::kernels
