#include "terse/recipe/stream_compensator.h"

#include <utility>

#include "terse/core/error.h"
#include "terse/core/free_memory.h"
#include "terse/methods/shape/compensation.h"
#include "terse/recipe/block_rewriter.h"

namespace terse {

StreamCompensator::StreamCompensator(Model& model, std::vector<std::int64_t> kept,
                                     CalibrationStream& stream, ReferenceStream& reference,
                                     Progress& progress)
    : model_(model),
      kept_(std::move(kept)),
      stream_(stream),
      reference_(reference),
      progress_(progress) {}

BlockResult StreamCompensator::compress(std::int64_t block) {
  BlockResult result;
  reference_.enter(block);
  for (const Stage stage : kStages) solve_stage(block, stage, result);
  reference_.leave();
  progress_.advance(1);
  return result;
}

void StreamCompensator::solve_stage(std::int64_t block, Stage stage, BlockResult& result) {
  const Architecture& a = model_.architecture();
  const std::vector<LinearRole> roles = a.roles(block, stage);
  if (roles.empty()) return;
  InputStatistics inputs(a.in_features(block, stage), {.second_moments = true, .shift = true});
  stream_.visit_beside(reference_.stream(), block, stage,
                       [&](const Matrix& x, const Matrix& before) { inputs.add(x, before); });
  for (const LinearRole role : roles) {
    Linear& linear = model_.block(block).linears.at(role);
    const Linear& before = reference_.model().block(block).linears.at(role);
    with_context(linear.module, [&] {
      Matrix weight = resolved(before.weight->dense(), linear.weight->dense(), inputs);
      const bool into_stream = stage == Stage::attention_output || stage == Stage::mlp_output;
      if (into_stream) keep_outputs(weight, linear.bias);
      store_dense(model_, weight, linear, result);
      linear.weight->prepare();
    });
    release_free_memory();
  }
}

void StreamCompensator::keep_outputs(Matrix& weight, Vector& bias) const {
  Matrix rows = Matrix::Zero(weight.rows(), weight.cols());
  Vector values = Vector::Zero(bias.size());
  for (const std::int64_t channel : kept_) {
    rows.row(channel) = weight.row(channel);
    if (bias.size() > 0) values[channel] = bias[channel];
  }
  weight = std::move(rows);
  bias = std::move(values);
}

}  // namespace terse
