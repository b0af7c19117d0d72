#include "terse/train/losses/cross_entropy.h"

#include <algorithm>
#include <vector>

#include "terse/kernels/training_math.h"
#include "terse/kernels/vector_math.h"
#include "terse/train/functions/row_tiles.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

// Loss of a row; the logits become softmax(logits) less one at the target.
double row_gradient(float* logits, std::int64_t size, std::int64_t target) {
  const double log_sum = kernels::log_sum_exp(logits, size);
  const double loss = log_sum - static_cast<double>(logits[target]);
  kernels::exp_shifted(logits, static_cast<float>(log_sum), size);
  logits[target] -= 1.0F;
  return loss;
}

double fused(const std::int64_t* targets, torch::Tensor& logits) {
  const std::int64_t size = logits.size(1);
  float* data = logits.data_ptr<float>();
  return parallel_sum(logits.size(0), kRowTile, [&](std::int64_t first, std::int64_t count) {
    double sum = 0;
    for (std::int64_t row = first; row < first + count; ++row) {
      if (targets[row] == kIgnored) {
        std::fill_n(data + row * size, size, 0.0F);
      } else {
        sum += row_gradient(data + row * size, size, targets[row]);
      }
    }
    return sum;
  });
}

}  // namespace

double CrossEntropy::sum_and_gradient(std::int64_t first, torch::Tensor& logits) {
  const torch::Tensor targets = targets_.narrow(0, first, logits.size(0));
  if (fusible(logits)) return fused(targets.data_ptr<std::int64_t>(), logits);
  const torch::Tensor counts = (targets != kIgnored).unsqueeze(1);
  const torch::Tensor index = targets.clamp_min(0).unsqueeze(1);
  const torch::Tensor logarithms = logits.log_softmax(1);
  const double loss = -(logarithms.gather(1, index) * counts).sum().item<double>();
  logits = logarithms.exp();
  logits.scatter_add_(1, index, torch::full_like(index, -1, logits.options()));
  logits *= counts;
  return loss;
}

}  // namespace terse::train
