#include "terse/methods/lowrank/loftq.h"

#include <utility>

#include "terse/methods/lowrank/truncated_svd.h"
#include "terse/methods/quantize/nearest.h"

namespace terse {
namespace {

// In the scheme of `like`, with its inputs rounded as they were.
std::shared_ptr<GroupQuantizedWeight> round_again(const Matrix& weight,
                                                  const QuantizedMatrix& like) {
  QuantizationScheme scheme = like.scheme;
  scheme.actorder = ActivationOrdering::none;  // rounding has no order
  const GridOptions grid{scheme.bits, scheme.symmetric, Clip::mse, scheme.scale_dtype};
  QuantizedMatrix rounded = round_to_nearest(scheme, grid, weight);
  rounded.input_scale = like.input_scale;
  rounded.input_zero = like.input_zero;
  return std::make_shared<GroupQuantizedWeight>(std::move(rounded));
}

}  // namespace

LoftqResult loftq(const Matrix& original, const std::shared_ptr<GroupQuantizedWeight>& quantized,
                  std::int64_t r, std::int64_t iterations) {
  std::shared_ptr<GroupQuantizedWeight> q = quantized;
  TruncatedSvd lost = truncated_svd(original - q->dense(), r);
  for (std::int64_t i = 1; i < iterations; ++i) {
    q = round_again(original - lost.left * lost.right, q->quantized());
    lost = truncated_svd(original - q->dense(), r);
  }
  return {std::move(q), std::move(lost.right), std::move(lost.left)};
}

}  // namespace terse
