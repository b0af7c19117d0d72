#include "terse/kernels/attention.h"

#include "terse/kernels/aligned.h"
#include "terse/kernels/kernel_table.h"

namespace terse::kernels {
namespace {

std::int64_t whole_chunks(std::int64_t size) {
  return (size + kChunk - 1) / kChunk * kChunk;
}

// Kept by each thread: what a call needs beside its inputs.
template <class T>
T* buffer_of(AlignedVector<T>& buffer, std::int64_t size) {
  if (buffer.size() < static_cast<std::size_t>(size)) {
    buffer.resize(static_cast<std::size_t>(size));
  }
  return buffer.data();
}

}  // namespace

std::int64_t attention_rows(std::int64_t heads) {
  std::int64_t rows = kCachePanel;
  while (rows > 1 && rows * heads > kAttentionQueries) rows /= 2;
  return rows;
}

void attend(const Attention& attention) {
  thread_local AlignedVector<float> floats;
  thread_local AlignedVector<double> doubles;
  const CachePanelFormat& format = *attention.cache.format;
  const std::int64_t queries = attention.rows * attention.heads;
  const std::int64_t panel = format.width * kCachePanel;
  const std::int64_t packed = queries * whole_chunks(format.head_dim);
  const std::int64_t scores = queries * kCachePanel;
  const std::int64_t sums = queries * format.width;
  float* at = buffer_of(floats, 2 * panel + packed + scores + sums + queries);
  const auto take = [&](std::int64_t size) {
    float* part = at;
    at += size;
    return part;
  };
  AttentionScratch scratch{};
  scratch.keys = take(panel);
  scratch.values = take(panel);
  scratch.queries = take(packed);
  scratch.scores = take(scores);
  scratch.sums = take(sums);
  scratch.largest = take(queries);
  scratch.totals = buffer_of(doubles, queries);
  kernel_table().attend(attention, scratch);
}

}  // namespace terse::kernels
