#include "terse/train/functions/attention.h"

#include <cblas.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "terse/core/threads.h"
#include "terse/kernels/training_math.h"
#include "terse/kernels/vector_math.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Queries whose scores are held at a time.
constexpr std::int64_t kQueryTile = 64;

// One head of one sequence: its first row in a batch matrix, and the distance of rows.
struct Head {
  float* data;
  std::int64_t stride;

  float* row(std::int64_t index) const { return data + index * stride; }
};

Head head_of(const torch::Tensor& rows, const AttentionShape& shape, std::int64_t sequence,
             std::int64_t head) {
  const std::int64_t stride = rows.size(1);
  return {rows.data_ptr<float>() + sequence * shape.length * stride + head * shape.head_dim,
          stride};
}

// Queries [first, first + rows) and the keys [begin, end) that any of them sees.
struct Tile {
  std::int64_t first;
  std::int64_t rows;
  std::int64_t begin;
  std::int64_t end;

  std::int64_t keys() const { return end - begin; }
};

template <class Body>
void for_each_tile(const AttentionShape& shape, const Body& body) {
  for (std::int64_t first = 0; first < shape.length; first += kQueryTile) {
    const std::int64_t rows = std::min(kQueryTile, shape.length - first);
    const std::int64_t begin =
        shape.window > 0 ? std::max<std::int64_t>(0, first + 1 - shape.window) : 0;
    body(Tile{first, rows, begin, first + rows});
  }
}

// products [rows, keys] = factor A B^T.
void multiply_transposed(const AttentionShape& shape, const Tile& tile, double factor,
                         const Head& a, const Head& b, float* products) {
  const auto keys = static_cast<int>(tile.keys());
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(tile.rows), keys,
              static_cast<int>(shape.head_dim), static_cast<float>(factor), a.row(tile.first),
              static_cast<int>(a.stride), b.row(tile.begin), static_cast<int>(b.stride), 0.0F,
              products, keys);
}

// scores [rows, keys] = scale Q K^T, with minus infinity where a key is not seen.
void compute_scores(const AttentionShape& shape, const Tile& tile, const Head& query,
                    const Head& key, float* scores) {
  multiply_transposed(shape, tile, shape.scale, query, key, scores);
  constexpr float kUnseen = -std::numeric_limits<float>::infinity();
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    float* row = scores + r * tile.keys();
    const std::int64_t seen = tile.first + r + 1 - tile.begin;
    std::fill(row + seen, row + tile.keys(), kUnseen);
    if (shape.window > 0)
      std::fill(row, row + std::max<std::int64_t>(0, seen - shape.window), kUnseen);
  }
}

// c [rows, head_dim] = or += a [rows, keys] B, or the transpose of a.
void multiply(const AttentionShape& shape, const Tile& tile, bool transpose, const float* scores,
              float factor, const Head& b, bool add, const Head& c) {
  const auto rows = static_cast<int>(tile.rows);
  const auto keys = static_cast<int>(tile.keys());
  cblas_sgemm(CblasRowMajor, transpose ? CblasTrans : CblasNoTrans, CblasNoTrans,
              transpose ? keys : rows, static_cast<int>(shape.head_dim), transpose ? rows : keys,
              factor, scores, keys, b.row(transpose ? tile.first : tile.begin),
              static_cast<int>(b.stride), add ? 1.0F : 0.0F,
              c.row(transpose ? tile.begin : tile.first), static_cast<int>(c.stride));
}

void attend_head(const AttentionShape& shape, const Head& query, const Head& key, const Head& value,
                 const Head& out, float* log_sums) {
  std::vector<float> scores(static_cast<std::size_t>(kQueryTile * shape.length));
  for_each_tile(shape, [&](const Tile& tile) {
    compute_scores(shape, tile, query, key, scores.data());
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      float* row = scores.data() + r * tile.keys();
      const double log_sum = kernels::log_sum_exp(row, tile.keys());
      log_sums[tile.first + r] = static_cast<float>(log_sum);
      kernels::exp_shifted(row, static_cast<float>(log_sum), tile.keys());
    }
    multiply(shape, tile, false, scores.data(), 1.0F, value, false, out);
  });
}

// What the gradients of one head are made from.
struct HeadGradients {
  Head query, key, value, out, grad;
  const float* log_sums;
  Head query_grad, key_grad, value_grad;
};

// dP = dO V^T; dS = P (dP - sum of dO O); dQ = dS K, dK += dS^T Q, dV += P^T dO.
void attend_head_backward(const AttentionShape& shape, const HeadGradients& h) {
  const auto size = static_cast<std::size_t>(kQueryTile * shape.length);
  std::vector<float> shares(size);
  std::vector<float> grads(size);
  for_each_tile(shape, [&](const Tile& tile) {
    compute_scores(shape, tile, h.query, h.key, shares.data());
    multiply_transposed(shape, tile, 1.0, h.grad, h.value, grads.data());
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      float* p = shares.data() + r * tile.keys();
      float* ds = grads.data() + r * tile.keys();
      kernels::exp_shifted(p, h.log_sums[tile.first + r], tile.keys());
      const float mean = cblas_sdot(static_cast<int>(shape.head_dim), h.grad.row(tile.first + r), 1,
                                    h.out.row(tile.first + r), 1);
      for (std::int64_t k = 0; k < tile.keys(); ++k) ds[k] = p[k] * (ds[k] - mean);
    }
    const auto scale = static_cast<float>(shape.scale);
    multiply(shape, tile, false, grads.data(), scale, h.key, false, h.query_grad);
    multiply(shape, tile, true, grads.data(), scale, h.query, true, h.key_grad);
    multiply(shape, tile, true, shares.data(), 1.0F, h.grad, true, h.value_grad);
  });
}

AttentionShape shape_of(AutogradContext* context) {
  const auto& data = context->saved_data;
  return {data.at("length").toInt(),   data.at("heads").toInt(),    data.at("kv_heads").toInt(),
          data.at("head_dim").toInt(), data.at("scale").toDouble(), data.at("window").toInt()};
}

void keep_shape(AutogradContext* context, const AttentionShape& shape) {
  auto& data = context->saved_data;
  data["length"] = shape.length;
  data["heads"] = shape.heads;
  data["kv_heads"] = shape.key_value_heads;
  data["head_dim"] = shape.head_dim;
  data["scale"] = shape.scale;
  data["window"] = shape.window;
}

struct FusedAttention : torch::autograd::Function<FusedAttention> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& query,
                               const torch::Tensor& key, const torch::Tensor& value,
                               const AttentionShape& shape) {
    torch::Tensor out = torch::empty_like(query);
    const std::int64_t sequences = query.size(0) / shape.length;
    torch::Tensor log_sums = torch::empty({sequences, shape.heads, shape.length});
    float* sums = log_sums.data_ptr<float>();
    const std::int64_t sharing = shape.heads / shape.key_value_heads;
    parallel_for(sequences * shape.heads, [&](std::int64_t task) {
      const std::int64_t s = task / shape.heads;
      const std::int64_t head = task % shape.heads;
      attend_head(shape, head_of(query, shape, s, head), head_of(key, shape, s, head / sharing),
                  head_of(value, shape, s, head / sharing), head_of(out, shape, s, head),
                  sums + task * shape.length);
    });
    context->save_for_backward({query, key, value, out, log_sums});
    keep_shape(context, shape);
    return out;
  }

  // Heads that share keys and values are one task: they add to the same gradients.
  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto saved = context->get_saved_variables();
    const AttentionShape shape = shape_of(context);
    const torch::Tensor grad = grads[0].contiguous();
    const torch::Tensor query_grad = torch::empty_like(saved[0]);
    const torch::Tensor key_grad = torch::zeros_like(saved[1]);
    const torch::Tensor value_grad = torch::zeros_like(saved[2]);
    const float* sums = saved[4].data_ptr<float>();
    const std::int64_t sharing = shape.heads / shape.key_value_heads;
    const std::int64_t sequences = grad.size(0) / shape.length;
    parallel_for(sequences * shape.key_value_heads, [&](std::int64_t task) {
      const std::int64_t s = task / shape.key_value_heads;
      const std::int64_t shared = task % shape.key_value_heads;
      for (std::int64_t head = shared * sharing; head < (shared + 1) * sharing; ++head) {
        attend_head_backward(
            shape, {head_of(saved[0], shape, s, head), head_of(saved[1], shape, s, shared),
                    head_of(saved[2], shape, s, shared), head_of(saved[3], shape, s, head),
                    head_of(grad, shape, s, head), sums + (s * shape.heads + head) * shape.length,
                    head_of(query_grad, shape, s, head), head_of(key_grad, shape, s, shared),
                    head_of(value_grad, shape, s, shared)});
      }
    });
    return {query_grad, key_grad, value_grad, {}};
  }
};

torch::Tensor unfused_attention(const torch::Tensor& query, const torch::Tensor& key,
                                const torch::Tensor& value, const AttentionShape& shape) {
  const auto heads_of = [&](const torch::Tensor& rows, std::int64_t heads) {
    const torch::Tensor split =
        rows.view({-1, shape.length, heads, shape.head_dim}).transpose(1, 2);
    return split.repeat_interleave(shape.heads / heads, 1);
  };
  const torch::Tensor positions =
      torch::arange(shape.length, torch::TensorOptions(query.device()).dtype(torch::kLong));
  const torch::Tensor distance = positions.unsqueeze(1) - positions.unsqueeze(0);
  torch::Tensor unseen = distance < 0;
  if (shape.window > 0) unseen = unseen | (distance >= shape.window);
  const torch::Tensor scores =
      (torch::matmul(heads_of(query, shape.heads),
                     heads_of(key, shape.key_value_heads).transpose(2, 3)) *
       shape.scale)
          .masked_fill(unseen, -std::numeric_limits<double>::infinity());
  return torch::matmul(scores.softmax(-1), heads_of(value, shape.key_value_heads))
      .transpose(1, 2)
      .reshape_as(query);
}

}  // namespace

torch::Tensor causal_attention(const torch::Tensor& query, const torch::Tensor& key,
                               const torch::Tensor& value, const AttentionShape& shape) {
  if (fusible(query) && fusible(key) && fusible(value)) {
    return FusedAttention::apply(query, key, value, shape);
  }
  return unfused_attention(query, key, value, shape);
}

}  // namespace terse::train
