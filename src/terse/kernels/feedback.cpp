#include "terse/kernels/feedback.h"

#include "terse/kernels/kernel_table.h"

namespace terse::kernels {

void quantize_with_feedback(const FeedbackBlock& block) {
  kernel_table().quantize_with_feedback(block);
}

}  // namespace terse::kernels
