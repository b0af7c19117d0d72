// The operations of the forward pass on this project's kernels, in float32.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/model/forward.h"
#include "terse/model/key_value_cache.h"
#include "terse/model/model.h"

namespace terse {

/// Consecutive rows of a batch that continue one sequence after the positions its cache holds.
struct SequenceRows {
  KeyValueCache* cache;
  std::int64_t first_row;
  std::int64_t rows;
};

/// Tokens to compute in one pass.
struct Batch {
  std::vector<std::int32_t> tokens;
  std::vector<SequenceRows> sequences;

  /// Appends tokens that continue the sequence of `cache`.
  void add(KeyValueCache& cache, std::span<const std::int32_t> ids);

  /// After a pass: the caches hold the positions of this batch.
  void commit() const;
};

/// Implements Operations. Every row is computed in the same way whatever rows are with it, so
/// results are the same bits alone and in any batch, on any number of threads.
class CpuOperations {
 public:
  using Value = Matrix;

  /// Both must outlive the operations. Errors: bad_input for token ids outside the vocabulary and
  /// positions beyond what the model or a cache can hold.
  CpuOperations(const Model& model, const Batch& batch);

  Matrix embed() const;
  Matrix norm(std::int64_t block, NormRole role, const Matrix& x) const;
  Matrix linear(std::int64_t block, LinearRole role, const Matrix& x) const;
  Matrix route(std::int64_t block, const Matrix& x) const;
  Matrix gather(const Matrix& routes, const Matrix& x) const;
  Matrix expert_linears(std::int64_t block, LinearRole role, const Matrix& routes,
                        const Matrix& stack) const;
  Matrix scatter(const Matrix& routes, const Matrix& stack) const;
  QueryKeyValue<Matrix> split(std::int64_t block, const Matrix& fused) const;
  Matrix head_norm(std::int64_t block, NormRole role, Matrix x) const;
  Matrix rotate(Matrix x);
  Matrix attend(std::int64_t block, const QueryKeyValue<Matrix>& qkv) const;
  Matrix gated_activation(Matrix gate, const Matrix& up) const;
  Matrix activation(Matrix x) const;
  Matrix shortcut(std::int64_t block, ShortcutRole role, const Matrix& x) const;
  Matrix add(Matrix x, const Matrix& y) const;
  Matrix head(const Matrix& x) const;

 private:
  // Rows of one sequence that the attention kernel takes at a time.
  struct AttentionTile {
    KeyValueCache* cache;
    std::int64_t row;  // of the batch
    std::int64_t rows;
    std::int64_t position;  // of the first row in its sequence
  };

  void store(std::int64_t block, const QueryKeyValue<Matrix>& qkv) const;
  std::vector<AttentionTile> attention_tiles(std::int64_t size) const;
  void check() const;
  void compute_rotations();
  const Norm& norm_of(std::int64_t block, NormRole role) const;

  const Model& model_;
  const Architecture& a_;
  const Batch& batch_;
  Matrix cosines_;  // [rows, rope.dimensions / 2], computed when first needed
  Matrix sines_;
};

/// x W^T + b.
Matrix apply_linear(const Linear& linear, const Matrix& x);

}  // namespace terse
