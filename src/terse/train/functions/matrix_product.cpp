#include "terse/train/functions/matrix_product.h"

#include "terse/core/matrix_product.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

ProductFactor<float> in_memory(const Factor& factor) {
  return {factor.matrix.data_ptr<float>(), factor.matrix.size(0), factor.matrix.size(1),
          factor.transposed};
}

torch::Tensor as_libtorch_has_it(const Factor& factor) {
  return factor.transposed ? factor.matrix.t() : factor.matrix;
}

}  // namespace

void multiply_into(torch::Tensor out, const Factor& a, const Factor& b, bool add) {
  if (!fusible(out) || !fusible(a.matrix) || !fusible(b.matrix)) {
    out.addmm_(as_libtorch_has_it(a), as_libtorch_has_it(b), add ? 1 : 0);
    return;
  }
  terse::multiply_into(out.data_ptr<float>(), in_memory(a), in_memory(b), add);
}

torch::Tensor product(const Factor& a, const Factor& b) {
  torch::Tensor out = torch::empty({a.rows(), b.columns()}, a.matrix.options());
  multiply_into(out, a, b);
  return out;
}

void multiply_rows(float* out, const Factor& a, const Factor& b, std::int64_t first,
                   std::int64_t count) {
  terse::multiply_rows(out, in_memory(a), in_memory(b), first, count);
}

}  // namespace terse::train
