#include "terse/recipe/calibration_stream.h"

#include <algorithm>
#include <array>
#include <span>

#include "terse/core/error.h"

namespace terse {
namespace {

constexpr std::int64_t kGroupRows = 2048;

void require_finite(const Matrix& input, std::int64_t block, Stage stage) {
  if (all_finite(std::span(input.data(), static_cast<std::size_t>(input.size())))) return;
  static constexpr std::array<std::string_view, 4> kNames{"attention", "attention output", "MLP",
                                                          "MLP output"};
  throw failure(
      "block {}: the input of the {} linears holds NaN or infinity; the weights before it are "
      "damaged "
      "or overflow",
      block, kNames[static_cast<std::size_t>(stage)]);
}

}  // namespace

CalibrationStream::CalibrationStream(const Model& model, const CalibrationTokens& tokens)
    : model_(model) {
  const auto per_group =
      static_cast<std::size_t>(std::max<std::int64_t>(1, kGroupRows / tokens.window));
  for (std::size_t i = 0; i < std::min(per_group, tokens.windows.size()); ++i) {
    caches_.emplace_back(model.architecture(), tokens.window, false);
  }
  for (std::size_t i = 0; i < tokens.windows.size(); ++i) {
    if (i % per_group == 0) groups_.emplace_back();
    groups_.back().batch.add(caches_[i % per_group], tokens.windows[i]);
  }
  for (Group& group : groups_) {
    CpuOperations operations(model_, group.batch);
    group.state.residual = Forward(model_.architecture(), operations).embed();
  }
}

void CalibrationStream::advance_to(Group& group, std::int64_t block, int stage) {
  CpuOperations operations(model_, group.batch);
  Forward forward(model_.architecture(), operations);
  for (int done = stage_; done < stage; ++done) {
    group.state = done < 0 ? forward.begin(block, std::move(group.state.residual))
                           : forward.advance(block, kStages[done], std::move(group.state));
  }
}

void CalibrationStream::visit(std::int64_t block, Stage stage, const InputVisitor& visitor) {
  const int target = static_cast<int>(stage);
  for (Group& group : groups_) {
    advance_to(group, block, target);
    require_finite(group.state.input, block, stage);
    visitor(group.state.input);
  }
  stage_ = target;
}

void CalibrationStream::visit_all(std::int64_t block,
                                  const std::function<void(Stage, const Matrix&)>& visitor) {
  for (Group& group : groups_) {
    CpuOperations operations(model_, group.batch);
    Forward forward(model_.architecture(), operations);
    State state = forward.begin(block, group.state.residual);
    for (const Stage stage : kStages) {
      require_finite(state.input, block, stage);
      visitor(stage, state.input);
      if (stage != Stage::mlp_output) state = forward.advance(block, stage, std::move(state));
    }
  }
}

void CalibrationStream::finish(std::int64_t block) {
  constexpr int kEnd = 4;
  for (Group& group : groups_) advance_to(group, block, kEnd);
  stage_ = -1;
}

}  // namespace terse
