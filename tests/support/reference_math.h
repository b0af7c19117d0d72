// The operations that the reference families are written in: naive, in double precision, on plain
// vectors of rows.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/reference_model.h"

namespace terse::test {

// [positions][features].
using Rows = std::vector<std::vector<double>>;

// config[key], or `otherwise` where the key is absent or null.
template <typename T>
T option(const nlohmann::json& config, const std::string& key, T otherwise) {
  const auto found = config.find(key);
  return found == config.end() || found->is_null() ? otherwise : found->template get<T>();
}

// The named tensor, checked to have this shape.
const ReferenceTensor& tensor(const ReferenceWeights& weights, const std::string& name,
                              const std::vector<std::int64_t>& shape);

// Row ids[i] of the named table [rows, width], for every i.
Rows embed(const ReferenceWeights& weights, const std::string& name, int rows, int width,
           const std::vector<int>& ids);

// 0, 1, ..., count - 1, each plus `first`.
std::vector<int> positions(int count, int first = 0);

// torch.nn.Linear `name`: x W^T + b with name.weight [out, in] and, where `bias`, name.bias [out].
Rows linear(const ReferenceWeights& weights, const std::string& name, const Rows& x, int out,
            bool bias);

// The same product with a named matrix [out, in] (an embedding table used as the output head).
Rows project(const ReferenceWeights& weights, const std::string& name, const Rows& x, int out);

// transformers' Conv1D `name`: x W + b with name.weight [in, out] and name.bias [out].
Rows conv1d(const ReferenceWeights& weights, const std::string& name, const Rows& x, int out);

// w * x / sqrt(mean(x^2) + eps) over each row (Zhang and Sennrich 2019).
Rows rms_norm(const ReferenceWeights& weights, const std::string& name, const Rows& x, double eps);

// The same over every head of `head_dim` features by itself, with one weight [head_dim].
Rows rms_norm_per_head(const ReferenceWeights& weights, const std::string& name, const Rows& x,
                       int head_dim, double eps);

// (x - mean) / sqrt(variance + eps) over each row, then * weight + bias where `affine`
// (Ba et al. 2016).
Rows layer_norm(const ReferenceWeights& weights, const std::string& name, const Rows& x, double eps,
                bool affine);

// Elementwise, by the names of transformers' ACT2FN: silu (swish), relu, gelu (exact), gelu_new and
// gelu_pytorch_tanh (tanh approximation).
Rows activate(const std::string& name, const Rows& x);
Rows add(const Rows& a, const Rows& b);
Rows multiply(const Rows& a, const Rows& b);

// Columns first .. first + count - 1 of every row.
Rows columns(const Rows& x, int first, int count);

// Causal attention: q [positions][heads * head_dim], k and v [positions][kv_heads * head_dim]; head
// h reads the key and value head h / (heads / kv_heads). Position i sees j with j <= i and, where
// window > 0, j > i - window. Returns [positions][heads * head_dim].
Rows attention(const Rows& q, const Rows& k, const Rows& v, int heads, int kv_heads, double scale,
               int window);

}  // namespace terse::test
