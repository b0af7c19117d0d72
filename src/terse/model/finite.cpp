#include "terse/model/finite.h"

#include <string_view>

#include "terse/core/error.h"
#include "terse/model/cpu_operations.h"

namespace terse {
namespace {

void require_finite(const Matrix& values, std::string_view what) {
  if (all_finite(std::span(values.data(), static_cast<std::size_t>(values.size())))) return;
  throw failure("{} holds NaN or infinity; the weights up to it are damaged or overflow", what);
}

}  // namespace

void require_finite_blocks(const Model& model, std::span<const std::int32_t> tokens) {
  const Architecture& a = model.architecture();
  KeyValueCache cache(a, static_cast<std::int64_t>(tokens.size()), false);
  Batch batch;
  batch.add(cache, tokens);
  CpuOperations operations(model, batch);
  Forward forward(a, operations);
  Matrix x = forward.embed();
  require_finite(x, "the embedding");
  for (std::int64_t i = 0; i < a.num_hidden_layers; ++i) {
    x = forward.block(i, std::move(x));
    require_finite(x, fmt::format("the output of block {}", i));
  }
}

}  // namespace terse
