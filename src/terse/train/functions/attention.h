// Causal attention as one differentiable function.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>

namespace terse::train {

/// How the rows of a batch are sequences and heads.
struct AttentionShape {
  std::int64_t length;  ///< Tokens of every sequence.
  std::int64_t heads;
  std::int64_t key_value_heads;
  std::int64_t head_dim;
  double scale;
  std::int64_t window;  ///< Keys that a query sees, itself included; 0: all before it.
};

/// softmax(scale Q K^T) V for every head over its causal positions. query [sequences * length,
/// heads * head_dim]; key and value [sequences * length, key_value_heads * head_dim]; as query. The
/// fused form holds the scores of a few rows at a time and computes them again for the gradients
/// (Dao et al., arXiv 2205.14135, algorithms 1 and 4).
torch::Tensor causal_attention(const torch::Tensor& query, const torch::Tensor& key,
                               const torch::Tensor& value, const AttentionShape& shape);

}  // namespace terse::train
