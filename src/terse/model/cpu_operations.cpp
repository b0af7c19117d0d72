#include "terse/model/cpu_operations.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/kernels/attention.h"
#include "terse/kernels/vector_math.h"
#include "terse/model/routes.h"

namespace terse {

static_assert(RoutingOperations<CpuOperations>);

namespace {

constexpr std::int64_t kRowTile = 8;

// Calls body(row) for every row, tile by tile on all threads; a single tile, as of one token, is
// done before others would have begun.
void for_each_row(std::int64_t rows, const std::function<void(std::int64_t)>& body) {
  if (rows <= kRowTile) {
    for (std::int64_t row = 0; row < rows; ++row) body(row);
    return;
  }
  parallel_tiles(rows, kRowTile, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t row = first; row < first + count; ++row) body(row);
  });
}

void apply_norm(const Architecture& a, const Norm& norm, const float* x, std::int64_t size,
                float* out) {
  const auto eps = static_cast<float>(a.norm_eps);
  if (a.norm == NormKind::rms) {
    kernels::rms_norm(x, norm.weight.data(), eps, size, out);
  } else {
    kernels::layer_norm(x, norm.weight.data(), norm.bias.data(), eps, size, out);
  }
}

void apply_activation(Activation activation, float* x, const float* factor, std::int64_t size) {
  switch (activation) {
    case Activation::silu:
      return kernels::silu(x, factor, size);
    case Activation::gelu:
      return kernels::gelu(x, factor, size);
    case Activation::gelu_tanh:
      return kernels::gelu_tanh(x, factor, size);
    case Activation::relu:
      return kernels::relu(x, factor, size);
  }
}

}  // namespace

void Batch::add(KeyValueCache& cache, std::span<const std::int32_t> ids) {
  sequences.push_back(
      {&cache, static_cast<std::int64_t>(tokens.size()), static_cast<std::int64_t>(ids.size())});
  tokens.insert(tokens.end(), ids.begin(), ids.end());
}

void Batch::commit() const {
  for (const SequenceRows& sequence : sequences) {
    sequence.cache->set_length(sequence.cache->length() + sequence.rows);
  }
}

CpuOperations::CpuOperations(const Model& model, const Batch& batch)
    : model_(model), a_(model.architecture()), batch_(batch) {
  flush_denormals();
  check();
}

void CpuOperations::check() const {
  for (const std::int32_t id : batch_.tokens) {
    if (id < 0 || id >= a_.vocab_size) {
      throw bad_input("token id {} is outside the vocabulary of {}", id, a_.vocab_size);
    }
  }
  for (const SequenceRows& sequence : batch_.sequences) {
    const std::int64_t end = sequence.cache->length() + sequence.rows;
    if (end > sequence.cache->capacity()) {
      throw failure("a sequence of {} tokens does not fit a cache of {}", end,
                    sequence.cache->capacity());
    }
    if (a_.learned_positions && end > a_.max_position_embeddings) {
      throw bad_input("a sequence of {} tokens is longer than the model's {} positions", end,
                      a_.max_position_embeddings);
    }
  }
}

void CpuOperations::compute_rotations() {
  const std::int64_t pairs = a_.rope.dimensions / 2;
  cosines_.resize(static_cast<std::int64_t>(batch_.tokens.size()), pairs);
  sines_.resize(cosines_.rows(), pairs);
  const auto factor = static_cast<float>(a_.rope.attention_factor);
  for (const SequenceRows& sequence : batch_.sequences) {
    const std::vector<float>& frequencies = sequence.cache->frequencies();
    for_each_row(sequence.rows, [&](std::int64_t row) {
      const auto position = static_cast<float>(sequence.cache->length() + row);
      for (std::int64_t i = 0; i < pairs; ++i) {
        const float angle = position * frequencies[static_cast<std::size_t>(i)];
        cosines_(sequence.first_row + row, i) = factor * std::cos(angle);
        sines_(sequence.first_row + row, i) = factor * std::sin(angle);
      }
    });
  }
}

Matrix CpuOperations::embed() const {
  Matrix x(static_cast<std::int64_t>(batch_.tokens.size()), a_.embedding_size);
  for_each_row(x.rows(), [&](std::int64_t row) {
    model_.embedding().row(batch_.tokens[static_cast<std::size_t>(row)], x.row(row).data());
  });
  if (a_.projected_embeddings) {
    Matrix projected(x.rows(), a_.hidden_size);
    model_.project_in()->multiply(x, projected);
    x = std::move(projected);
  }
  if (!a_.learned_positions) return x;
  for (const SequenceRows& sequence : batch_.sequences) {
    const std::int64_t first = sequence.cache->length() + a_.position_offset;
    x.middleRows(sequence.first_row, sequence.rows) +=
        model_.positions().middleRows(first, sequence.rows);
  }
  return x;
}

const Norm& CpuOperations::norm_of(std::int64_t block, NormRole role) const {
  return role == NormRole::final ? model_.final_norm() : model_.block(block).norms.at(role);
}

Matrix CpuOperations::norm(std::int64_t block, NormRole role, const Matrix& x) const {
  const Norm& norm = norm_of(block, role);
  Matrix out(x.rows(), x.cols());
  for_each_row(x.rows(), [&](std::int64_t row) {
    apply_norm(a_, norm, x.row(row).data(), x.cols(), out.row(row).data());
  });
  return out;
}

Matrix apply_linear(const Linear& linear, const Matrix& x) {
  Matrix y(x.rows(), linear.weight->rows());
  linear.weight->multiply(x, y);
  if (linear.bias.size() > 0) {
    for_each_row(y.rows(), [&](std::int64_t row) {
      kernels::add(y.row(row).data(), linear.bias.data(), y.cols());
    });
  }
  return y;
}

Matrix CpuOperations::linear(std::int64_t block, LinearRole role, const Matrix& x) const {
  return apply_linear(model_.block(block).linears.at(role), x);
}

Matrix CpuOperations::route(std::int64_t block, const Matrix& x) const {
  Matrix routes = apply_linear(model_.block(block).router, x);
  for_each_row(routes.rows(), [&](std::int64_t row) {
    route_row(a_.experts, {routes.row(row).data(), static_cast<std::size_t>(routes.cols())});
  });
  return routes;
}

Matrix CpuOperations::gather(const Matrix& routes, const Matrix& x) const {
  const RoutedRows rows(routes);
  Matrix stack(rows.count(), x.cols());
  for_each_row(stack.rows(), [&](std::int64_t at) { stack.row(at) = x.row(rows.source(at)); });
  return stack;
}

Matrix CpuOperations::expert_linears(std::int64_t block, LinearRole role, const Matrix& routes,
                                     const Matrix& stack) const {
  const RoutedRows rows(routes);
  Matrix out(stack.rows(), a_.out_features(block, role));
  for (std::int64_t expert = 0; expert < routes.cols(); ++expert) {
    if (rows.count(expert) == 0) continue;
    const Matrix own = stack.middleRows(rows.first(expert), rows.count(expert));
    out.middleRows(rows.first(expert), rows.count(expert)) =
        apply_linear(model_.block(block).linears.at({role, expert}), own);
  }
  return out;
}

// In the order of the experts, whatever rows are with a row.
Matrix CpuOperations::scatter(const Matrix& routes, const Matrix& stack) const {
  const RoutedRows rows(routes);
  Matrix out = Matrix::Zero(routes.rows(), stack.cols());
  for_each_row(out.rows(), [&](std::int64_t row) {
    for (const std::int64_t at : rows.places(row)) {
      out.row(row) += routes(row, rows.expert(at)) * stack.row(at);
    }
  });
  return out;
}

QueryKeyValue<Matrix> CpuOperations::split(std::int64_t block, const Matrix& fused) const {
  const std::int64_t q = a_.query_size(block);
  const std::int64_t k = a_.key_size(block);
  if (a_.fused_layout == FusedLayout::blocks) {
    return {fused.leftCols(q), fused.middleCols(q, k), fused.rightCols(k)};
  }
  QueryKeyValue<Matrix> qkv{Matrix(fused.rows(), q), Matrix(fused.rows(), k),
                            Matrix(fused.rows(), k)};
  const std::int64_t d = a_.head_dim;
  for (std::int64_t head = 0; head * a_.head_dim < q; ++head) {
    qkv.query.middleCols(head * d, d) = fused.middleCols(3 * head * d, d);
    qkv.key.middleCols(head * d, d) = fused.middleCols((3 * head + 1) * d, d);
    qkv.value.middleCols(head * d, d) = fused.middleCols((3 * head + 2) * d, d);
  }
  return qkv;
}

Matrix CpuOperations::head_norm(std::int64_t block, NormRole role, Matrix x) const {
  const Norm& norm = norm_of(block, role);
  for_each_row(x.rows(), [&](std::int64_t row) {
    for (std::int64_t at = 0; at < x.cols(); at += a_.head_dim) {
      float* head = x.row(row).data() + at;
      apply_norm(a_, norm, head, a_.head_dim, head);
    }
  });
  return x;
}

Matrix CpuOperations::rotate(Matrix x) {
  if (cosines_.size() == 0) compute_rotations();
  for_each_row(x.rows(), [&](std::int64_t row) {
    for (std::int64_t at = 0; at < x.cols(); at += a_.head_dim) {
      kernels::rotate_half(x.row(row).data() + at, cosines_.row(row).data(), sines_.row(row).data(),
                           cosines_.cols());
    }
  });
  return x;
}

void CpuOperations::store(std::int64_t block, const QueryKeyValue<Matrix>& qkv) const {
  for (const SequenceRows& sequence : batch_.sequences) {
    sequence.cache->make_room(block, sequence.rows);
    for_each_row(sequence.rows, [&](std::int64_t i) {
      const std::int64_t row = sequence.first_row + i;
      sequence.cache->store(block, sequence.cache->length() + i, qkv.key.row(row).data(),
                            qkv.value.row(row).data());
    });
    sequence.cache->quantize(block);
  }
}

// Cut at multiples of `size` positions.
std::vector<CpuOperations::AttentionTile> CpuOperations::attention_tiles(std::int64_t size) const {
  std::vector<AttentionTile> tiles;
  for (const SequenceRows& sequence : batch_.sequences) {
    const std::int64_t begin = sequence.cache->length();
    const std::int64_t end = begin + sequence.rows;
    for (std::int64_t at = begin; at < end;) {
      const std::int64_t next = std::min((at / size + 1) * size, end);
      tiles.push_back({sequence.cache, sequence.first_row + at - begin, next - at, at});
      at = next;
    }
  }
  return tiles;
}

Matrix CpuOperations::attend(std::int64_t block, const QueryKeyValue<Matrix>& qkv) const {
  const BlockShape shape = a_.shape(block);
  const std::int64_t heads = shape.num_key_value_heads;
  const std::int64_t shared = shape.num_attention_heads / heads;
  store(block, qkv);
  Matrix out(qkv.query.rows(), qkv.query.cols());
  const std::vector<AttentionTile> tiles = attention_tiles(kernels::attention_rows(shared));
  parallel_for(static_cast<std::int64_t>(tiles.size()) * heads, [&](std::int64_t task) {
    const AttentionTile& tile = tiles[static_cast<std::size_t>(task / heads)];
    const std::int64_t head = task % heads;
    const std::int64_t column = head * shared * a_.head_dim;
    kernels::attend(
        {.q = qkv.query.row(tile.row).data() + column,
         .q_stride = qkv.query.cols(),
         .rows = tile.rows,
         .heads = shared,
         .position = tile.position,
         .cache = tile.cache->head(block, head, tile.position),
         .scale = static_cast<float>(a_.attention_scale[static_cast<std::size_t>(block)]),
         .window = a_.sliding_window[static_cast<std::size_t>(block)],
         .out = out.row(tile.row).data() + column,
         .out_stride = out.cols()});
  });
  return out;
}

Matrix CpuOperations::gated_activation(Matrix gate, const Matrix& up) const {
  for_each_row(gate.rows(), [&](std::int64_t row) {
    apply_activation(a_.activation, gate.row(row).data(), up.row(row).data(), gate.cols());
  });
  return gate;
}

Matrix CpuOperations::activation(Matrix x) const {
  for_each_row(x.rows(), [&](std::int64_t row) {
    apply_activation(a_.activation, x.row(row).data(), nullptr, x.cols());
  });
  return x;
}

Matrix CpuOperations::shortcut(std::int64_t block, ShortcutRole role, const Matrix& x) const {
  Matrix y(x.rows(), x.cols());
  model_.block(block).shortcuts.at(role)->multiply(x, y);
  return y;
}

Matrix CpuOperations::add(Matrix x, const Matrix& y) const {
  for_each_row(x.rows(), [&](std::int64_t row) {
    kernels::add(x.row(row).data(), y.row(row).data(), x.cols());
  });
  return x;
}

Matrix CpuOperations::head(const Matrix& x) const {
  if (!a_.projected_embeddings) return apply_linear(model_.head(), x);
  Matrix projected(x.rows(), a_.embedding_size);
  model_.project_out()->multiply(x, projected);
  return apply_linear(model_.head(), projected);
}

}  // namespace terse
