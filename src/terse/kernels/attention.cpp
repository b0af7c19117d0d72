#include "terse/kernels/attention.h"

#include "terse/kernels/kernel_table.h"

namespace terse::kernels {

std::int64_t attention_scratch(std::int64_t positions) {
  return (positions + kChunk - 1) / kChunk * kChunk * kAttentionRows;
}

void attend(const float* q, std::int64_t q_stride, std::int64_t rows, std::int64_t position,
            const HeadCache& cache, std::int64_t head_dim, float scale, std::int64_t window,
            float* scratch, float* out, std::int64_t out_stride) {
  kernel_table().attend(
      {q, q_stride, rows, position, cache, head_dim, scale, window, scratch, out, out_stride});
}

}  // namespace terse::kernels
