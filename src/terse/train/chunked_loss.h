// A loss over the vocabulary of which the logits of a few rows are held at a time.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>

namespace terse::train {

/// What is minimised for a row of logits.
class RowLoss {
 public:
  virtual ~RowLoss() = default;

  /// The sum of the losses of rows [first, first + logits.size(0)); replaces `logits` [rows,
  /// vocabulary] by the gradient of that sum.
  virtual double sum_and_gradient(std::int64_t first, torch::Tensor& logits) = 0;
};

/// Rows of logits that are held at a time, where nothing else is asked for.
inline constexpr std::int64_t kLossRows = 512;

/// scale times the sum of the losses of all rows of hidden W^T + b; hidden [rows, features], weight
/// [vocabulary, features], bias [vocabulary] or undefined. The gradients are made on the way, so
/// that the logits of `rows_at_once` rows are all that is ever held.
torch::Tensor chunked_loss(const torch::Tensor& hidden, const torch::Tensor& weight,
                           const torch::Tensor& bias, RowLoss& loss, double scale,
                           std::int64_t rows_at_once = kLossRows);

/// The sum of the losses alone.
double loss_sum(const torch::Tensor& hidden, const torch::Tensor& weight, const torch::Tensor& bias,
                RowLoss& loss, std::int64_t rows_at_once = kLossRows);

}  // namespace terse::train
