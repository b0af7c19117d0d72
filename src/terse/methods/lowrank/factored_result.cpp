#include "terse/methods/lowrank/factored_result.h"

#include <utility>

#include "terse/core/matrix_product.h"
#include "terse/model/weights/low_rank.h"

namespace terse {

Matrix FactoredResult::dense() const {
  return product(dense_weight(b_), dense_weight(a_));
}

std::vector<ResultPart> FactoredResult::parts() {
  const auto through_a = [this](const InputStatistics& inputs) {
    return inputs.through(dense_weight(a_));
  };
  return {{std::string(".") + LowRank::kA, &a_}, {std::string(".") + LowRank::kB, &b_, through_a}};
}

std::unique_ptr<Weight> FactoredResult::weight(const StoreMatrix& store, DType /*dtype*/) {
  return std::make_unique<LowRank>(store(std::move(a_)), store(std::move(b_)));
}

}  // namespace terse
