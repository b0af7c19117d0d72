// What a shape method is shown of a model, computed from all tokens at once.
#pragma once

#include <map>
#include <utility>

#include "support/logits.h"
#include "terse/methods/shape_method.h"
#include "terse/model/cpu_operations.h"

namespace terse::test {

/// Shows every block, its inputs on `tokens` and what the residual stream does there.
inline void show_blocks(Model& model, ShapeMethod& method,
                        const std::vector<std::int32_t>& tokens = {}) {
  const Architecture& a = model.architecture();
  const ShapeNeeds needs = method.needs();
  KeyValueCache cache(a, static_cast<std::int64_t>(tokens.size()) + 1, false);
  Batch batch;
  batch.add(cache, tokens);
  CpuOperations operations(model, batch);
  Forward forward(a, operations);
  Matrix hidden = tokens.empty() ? Matrix() : forward.embed();
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    model.load_block(block);
    std::map<StageInput, InputStatistics> inputs;
    const Matrix before = hidden;
    if (!tokens.empty()) {
      auto state = forward.begin(block, std::move(hidden));
      for (const Stage stage : kStages) {
        InputStatistics own(a.in_features(block, stage), needs.inputs);
        own.add(state.input);
        inputs.emplace(stage, std::move(own));
        state = forward.advance(block, stage, std::move(state));
      }
      hidden = std::move(state.residual);
    }
    if (needs.weights) method.look_at(BlockView{block, a, model.block(block), inputs});
    if (needs.flow) {
      method.look_at(BlockFlow{block, before, hidden, static_cast<std::int64_t>(tokens.size())});
    }
    model.unload_block(block);
  }
}

}  // namespace terse::test
