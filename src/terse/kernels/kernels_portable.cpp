#include "terse/kernels/kernel_table.inc.h"

namespace terse::kernels {

const KernelTable kPortableKernels = kKernels;

}  // namespace terse::kernels
