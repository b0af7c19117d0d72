// The functions that exist once per instruction set. Files compiled for one instruction set include
// this, so nothing here may bring inline library code: the linker could keep the copy that was
// compiled for a better processor than the one at hand.
#pragma once

#include <cstdint>

#include "terse/kernels/attention.h"
#include "terse/kernels/feedback.h"
#include "terse/kernels/integer_panel.h"
#include "terse/kernels/slot_panel.h"
#include "terse/kernels/storage.h"
#include "terse/kernels/training_math.h"

namespace terse::kernels {

/// Columns of a panel, and depth of a chunk of packed rows.
inline constexpr std::int64_t kPanelWidth = 32;
inline constexpr std::int64_t kChunk = 32;

/// y[r, c] += sum over k of a[r, k] w[k, c], each y[r, c] as one chain of multiply-adds over
/// ascending k. Rows are packed by chunks: a[r, k] is at a[(k / 32) * a_chunk + r * 32 + k % 32].
/// Column c is at w + (c / 32) * w_panel + k * 32 + c % 32, in values of the storage type.
struct TileProduct {
  const float* a;
  std::int64_t a_chunk;
  std::int64_t rows;  // at most KernelTable::tile_rows
  std::int64_t depth;
  const void* w;
  std::int64_t w_panel;
  std::int64_t columns;
  float* y;
  std::int64_t y_stride;
  bool accumulate;  // otherwise the chains begin at 0
};

/// What an attention call of some queries (rows times heads) computes with.
struct AttentionScratch {
  float* keys;  // a panel as float32
  float* values;
  float* queries;  // packed by chunks
  float* scores;   // [queries, 32]
  float* sums;     // [queries, width]
  float* largest;  // [queries]
  double* totals;  // [queries]
};

struct KernelTable {
  std::int64_t tile_rows;  // rows that the registers hold beside a panel
  void (*multiply_tile[kStorageKinds])(const TileProduct&);
  void (*to_float[kStorageKinds])(const void* values, std::int64_t count, float* out);
  std::int64_t integer_rows;  // rows that the registers hold beside a vector of codes
  void (*multiply_stored)(const IntegerTile&);    // one row, by blocks as they are stored
  void (*multiply_unpacked)(const IntegerTile&);  // by unpacked blocks
  void (*unpack)(const IntegerPanelFormat&, const void* blocks, std::int64_t count, void* out);
  void (*unpacked_to_float)(const IntegerPanelFormat&, const void* unpacked, std::int64_t count,
                            float* out);               // [columns, 32]
  void (*multiply_slots)(const SlotTile&);             // one row, by slots of a sparse weight
  void (*unpack_slots)(const SlotBlocks&, void* out);  // to the same as `unpack`
  void (*quantize_row)(const float* x, std::int64_t blocks, const IntegerPanelFormat&, float fixed,
                       std::int8_t* codes, float* scales, std::int32_t* offsets);
  void (*attend)(const Attention&, const AttentionScratch&);
  void (*quantize_with_feedback)(const FeedbackBlock&);

  void (*rms_norm)(const float*, const float*, float, std::int64_t, float*);
  void (*layer_norm)(const float*, const float*, const float*, float, std::int64_t, float*);
  void (*add)(float*, const float*, std::int64_t);
  void (*relu)(float*, const float*, std::int64_t);
  void (*gelu)(float*, const float*, std::int64_t);
  void (*gelu_tanh)(float*, const float*, std::int64_t);
  void (*silu)(float*, const float*, std::int64_t);
  void (*rotate_half)(float*, const float*, const float*, std::int64_t);
  float (*max_value)(const float*, std::int64_t);
  double (*sum_of_exp)(const float*, float, std::int64_t);
  void (*softmax)(float*, std::int64_t);

  void (*exp_shifted)(float*, float, std::int64_t);
  void (*rms_norm_backward)(const float*, const float*, const float*, float, std::int64_t, float*,
                            float*);
  void (*gated_silu_backward)(const float*, const float*, const float*, std::int64_t, float*,
                              float*);
  void (*adamw_step)(const AdamWStep&, const float*, float*, float*, float*, std::int64_t);

  std::int64_t (*multiply_bytes)(std::int64_t rounds);
  std::int64_t (*multiply_floats)(std::int64_t rounds);
};

extern const KernelTable kPortableKernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kAvx512VnniKernels;
extern const KernelTable kNeonKernels;

/// The table of the instruction set in use.
const KernelTable& kernel_table();

}  // namespace terse::kernels
