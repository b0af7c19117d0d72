// Calibration activations on their way through the model, stage by stage.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "terse/model/cpu_operations.h"
#include "terse/recipe/calibration.h"

namespace terse {

/// Holds the activations of all calibration windows and moves them through one stage of a block
/// after another. Windows are computed in groups that depend on their length alone, so results do
/// not depend on threads.
class CalibrationStream {
 public:
  /// Starts with the embeddings.
  CalibrationStream(const Model& model, const CalibrationTokens& tokens);

  /// Called with the input of a stage, group after group: [rows, in features].
  using InputVisitor = std::function<void(const Matrix& input)>;

  /// Visits what the linears of a stage read. Applies the stages before it in this block with the
  /// weights that the model holds now. Errors: failed when an activation is not finite.
  void visit(std::int64_t block, Stage stage, const InputVisitor& visitor);

  /// Visits the inputs of all stages with the weights as they are, without moving on.
  void visit_all(std::int64_t block, const std::function<void(Stage, const Matrix&)>& visitor);

  /// Applies the rest of the block: the activations are then the inputs of the next one.
  void finish(std::int64_t block);

 private:
  using State = Forward<CpuOperations>::State;

  // Windows that are computed in one pass. All groups use the same caches in turn: the keys of a
  // block are needed only while it is computed.
  struct Group {
    Batch batch;
    State state;
  };

  void advance_to(Group& group, std::int64_t block, int stage);

  const Model& model_;
  std::vector<KeyValueCache> caches_;
  std::vector<Group> groups_;
  int stage_ = -1;  // whose input the states hold; -1: `residual` holds the input of the block
};

}  // namespace terse
