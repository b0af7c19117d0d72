#include "terse/methods/linear_result.h"

namespace terse {

Matrix dense_weight(const LinearResult& result) {
  if (const auto* quantized = std::get_if<QuantizedMatrix>(&result)) return quantized->dense();
  if (const auto* compound = std::get_if<std::shared_ptr<CompoundResult>>(&result)) {
    return (*compound)->dense();
  }
  return std::get<Matrix>(result);
}

}  // namespace terse
