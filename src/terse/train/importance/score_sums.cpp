#include "terse/train/importance/score_sums.h"

#include <cmath>
#include <span>
#include <utility>

#include "terse/core/tensor.h"
#include "terse/core/threads.h"
#include "terse/train/functions/matrix_product.h"
#include "terse/train/functions/row_tiles.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

// One row of W and of G.
void add_row(const float* weight, const float* gradient, std::int64_t size, float* fisher,
             float* taylor) {
  for (std::int64_t c = 0; c < size; ++c) {
    fisher[c] += gradient[c] * gradient[c];
    taylor[c] += std::abs(weight[c] * gradient[c]);
  }
}

// Adds sum of W G over the columns of each head.
void add_gates(const float* weight, const float* gradient, std::int64_t size,
               std::span<double> gates) {
  const std::int64_t head_size = size / static_cast<std::int64_t>(gates.size());
  for (double& gate : gates) {
    double sum = 0;
    for (std::int64_t c = 0; c < head_size; ++c) {
      sum += static_cast<double>(weight[c]) * static_cast<double>(gradient[c]);
    }
    gate += sum;
    weight += head_size;
    gradient += head_size;
  }
}

}  // namespace

ScoreSums::ScoreSums(torch::Tensor weight, std::int64_t heads)
    : weight_(std::move(weight)),
      fisher_(torch::zeros_like(weight_)),
      taylor_(torch::zeros_like(weight_)),
      head_fisher_(static_cast<std::size_t>(heads)),
      head_taylor_(static_cast<std::size_t>(heads)) {}

void ScoreSums::add(const torch::Tensor& grads, const torch::Tensor& inputs) {
  const bool tiles = fusible(grads) && fusible(inputs) && fusible(weight_);
  const std::vector<double> gates = tiles ? add_tiles(grads, inputs) : add_whole(grads, inputs);
  for (std::size_t head = 0; head < gates.size(); ++head) {
    head_fisher_[head] += gates[head] * gates[head];
    head_taylor_[head] += std::abs(gates[head]);
  }
}

std::vector<double> ScoreSums::add_tiles(const torch::Tensor& grads, const torch::Tensor& inputs) {
  const std::int64_t rows = weight_.size(0);
  const std::int64_t columns = weight_.size(1);
  const std::size_t heads = head_taylor_.size();
  const auto tiles = static_cast<std::size_t>((rows + kRowTile - 1) / kRowTile);
  std::vector<double> gates(tiles * heads);
  std::vector<char> finite(tiles);
  parallel_tiles(rows, kRowTile, [&](std::int64_t first, std::int64_t count) {
    const auto tile = static_cast<std::size_t>(first / kRowTile);
    std::vector<float> gradient(static_cast<std::size_t>(count * columns));
    multiply_rows(gradient.data(), {grads, true}, {inputs}, first, count);
    finite[tile] = all_finite(gradient) ? 1 : 0;
    for (std::int64_t r = 0; r < count; ++r) {
      const std::int64_t at = (first + r) * columns;
      const float* weight = weight_.data_ptr<float>() + at;
      add_row(weight, gradient.data() + r * columns, columns, fisher_.data_ptr<float>() + at,
              taylor_.data_ptr<float>() + at);
      if (heads == 0) continue;
      add_gates(weight, gradient.data() + r * columns, columns,
                std::span(gates).subspan(tile * heads, heads));
    }
  });
  std::vector<double> sums(heads);
  for (std::size_t tile = 0; tile < tiles; ++tile) {
    finite_ = finite_ && finite[tile] != 0;
    for (std::size_t head = 0; head < heads; ++head) sums[head] += gates[tile * heads + head];
  }
  return sums;
}

// On other devices and types.
std::vector<double> ScoreSums::add_whole(const torch::Tensor& grads, const torch::Tensor& inputs) {
  const torch::Tensor gradient = grads.t().mm(inputs);
  const torch::Tensor change = weight_ * gradient;
  finite_ = finite_ && gradient.isfinite().all().item<bool>();
  fisher_ += gradient.square();
  taylor_ += change.abs();
  std::vector<double> gates(head_taylor_.size());
  if (gates.empty()) return gates;
  const torch::Tensor by_head =
      change.view({change.size(0), static_cast<std::int64_t>(gates.size()), -1})
          .sum(torch::IntArrayRef({0, 2}), false, torch::kDouble)
          .cpu();
  for (std::size_t head = 0; head < gates.size(); ++head) {
    gates[head] = by_head[static_cast<std::int64_t>(head)].item<double>();
  }
  return gates;
}

}  // namespace terse::train
