#include "terse/recipe/shape_cost.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <map>
#include <tuple>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/kernels/panels.h"

namespace terse {
namespace {

using ProductShape = std::function<void(std::int64_t rows, std::int64_t columns)>;

// Calls `product` for every product of a token in the blocks.
void for_each_product(const Architecture& a, const ProductShape& product) {
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const LinearRole role : a.roles(block)) {
      for (std::int64_t i = 0; i < a.stacked(block, stage_of(role)); ++i) {
        product(a.out_features(block, role), a.in_features(block, role));
      }
    }
    if (a.has_experts(block)) product(a.shape(block).num_experts, a.hidden_size);
    if (!a.shortcuts) continue;
    if (a.has_attention(block)) product(a.hidden_size, a.hidden_size);
    if (a.has_mlp(block)) product(a.hidden_size, a.hidden_size);
  }
}

// Copies that are together larger than caches take turns.
double product_seconds(std::int64_t rows, std::int64_t columns, DType dtype) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kBytes = std::int64_t{1} << 27;
  constexpr int kPasses = 3;
  const auto packed =
      kernels::Panels::pack(Tensor::from_matrix(dtype, Matrix::Constant(rows, columns, 0.01F)));
  const auto bytes = static_cast<std::int64_t>(packed.bytes());
  const std::vector<kernels::Panels> copies(static_cast<std::size_t>(kBytes / bytes + 1), packed);
  const Matrix x = Matrix::Constant(1, columns, 0.01F);
  Matrix y(1, rows);
  double best = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < kPasses; ++pass) {
    const Clock::time_point start = Clock::now();
    for (const kernels::Panels& copy : copies) {
      kernels::multiply(x.data(), columns, 1, copy, y.data(), rows);
    }
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best / static_cast<double>(copies.size());
}

}  // namespace

double block_operations(const Architecture& a) {
  double sum = 0;
  for_each_product(a, [&](std::int64_t rows, std::int64_t columns) {
    sum += static_cast<double>(rows) * static_cast<double>(columns);
  });
  const double positions = static_cast<double>(a.default_window()) / 2;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    // A score and a term of the sum for each position.
    sum += 2 * positions * static_cast<double>(a.query_size(block));
  }
  return sum;
}

double block_seconds(const Architecture& a, DType dtype) {
  static std::map<std::tuple<DType, std::int64_t, std::int64_t>, double> measured;
  double sum = 0;
  for_each_product(a, [&](std::int64_t rows, std::int64_t columns) {
    const auto [found, is_new] = measured.try_emplace({dtype, rows, columns}, 0.0);
    if (is_new) found->second = product_seconds(rows, columns, dtype);
    sum += found->second;
  });
  return sum;
}

}  // namespace terse
