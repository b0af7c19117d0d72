#include "terse/kernels/kernel_table.inc.h"

namespace terse::kernels {

const KernelTable kAvx512VnniKernels = kKernels;

}  // namespace terse::kernels
