#include "terse/methods/input_shift.h"

#include "terse/core/error.h"
#include "terse/core/matrix_product.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

constexpr std::int64_t kRowTile = 64;

}  // namespace

void InputShift::add(ConstMatrixRef inputs, ConstMatrixRef before) {
  if (inputs.cols() != sums_.cols() || before.cols() != sums_.cols() ||
      before.rows() != inputs.rows()) {
    throw failure("inputs [{}, {}] and [{}, {}] found where two of {} values are expected",
                  inputs.rows(), inputs.cols(), before.rows(), before.cols(), sums_.cols());
  }
  if (inputs.rows() == 0) return;
  Matrix moved(inputs.rows(), inputs.cols());
  Matrix now(inputs.rows(), inputs.cols());
  parallel_tiles(inputs.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
    now.middleRows(first, count) = inputs.middleRows(first, count);
    moved.middleRows(first, count) = before.middleRows(first, count) - now.middleRows(first, count);
  });
  multiply_into<float>(sums_.data(), {moved.data(), moved.rows(), moved.cols(), true},
                       {now.data(), now.rows(), now.cols()}, true);
}

}  // namespace terse
