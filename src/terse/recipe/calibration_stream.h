// Calibration activations on their way through the model, stage by stage.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "terse/core/error.h"
#include "terse/methods/input_statistics.h"
#include "terse/model/cpu_operations.h"
#include "terse/recipe/activation_store.h"
#include "terse/recipe/calibration.h"

namespace terse {

/// Activations are not finite: the model's own fault, whoever computes them again.
class ActivationsNotFinite : public Error {
 public:
  explicit ActivationsNotFinite(const Error& error) : Error(error) {}
};

/// Rows that are computed in one pass: whole windows, one at least.
std::int64_t windows_per_group(std::int64_t window);

/// Groups that windows of so many tokens in all are computed in.
std::int64_t group_count(std::int64_t tokens, std::int64_t window);

/// Values that a group of windows holds between two stages, at most.
std::int64_t group_values(const Architecture& architecture, std::int64_t window);

/// Holds the activations of all calibration windows and moves them through one stage of a block
/// after another. Windows are computed in groups that depend on their length alone, so results do
/// not depend on threads or memory.
class CalibrationStream {
 public:
  /// `memory` bytes of activations may be held; the rest goes to a file in `directory`. The stream
  /// is empty until `start` or `load`.
  CalibrationStream(const Model& model, const CalibrationTokens& tokens,
                    std::uint64_t memory = ~std::uint64_t{0},
                    const std::filesystem::path& directory = {});

  /// Begins with the embeddings.
  void start();

  /// Writes the inputs of the next block, durably, returning the digest of the file, and reads them
  /// again. Only between blocks. Errors: failed; bad_input when the file is not what `save` wrote.
  std::string save(const std::filesystem::path& path) const;
  void load(const std::filesystem::path& path);

  /// Called with the inputs of a stage, group after group: [rows, in features]. Experts that take
  /// no row of a group are left out.
  using InputVisitor = std::function<void(const StageInput& of, ConstMatrixRef input)>;

  /// Visits what the linears of a stage read. Applies the stages before it in this block with the
  /// weights that the model holds now. Errors: failed when an activation is not finite.
  void visit(std::int64_t block, Stage stage, const InputVisitor& visitor);

  /// The same beside another stream over the same tokens, which moves on with it: `before` is what
  /// its linears read.
  using PairVisitor = std::function<void(const Matrix& input, const Matrix& before)>;
  void visit_beside(CalibrationStream& other, std::int64_t block, Stage stage,
                    const PairVisitor& visitor);

  /// The statistics of the inputs of all stages with the weights as they are, without moving on;
  /// shifts are against `other`, which stays where it is too. Where there are experts nothing
  /// shifts.
  using NeedsOfInput = std::function<StatisticsNeeds(const StageInput& input)>;
  std::map<StageInput, InputStatistics> statistics(std::int64_t block, const NeedsOfInput& needs,
                                                   const CalibrationStream* other = nullptr);

  /// Visits what the block puts out with the weights as they are, without moving on: [rows,
  /// hidden], group after group. No stage of it was visited yet.
  using OutputVisitor = std::function<void(const Matrix& output)>;
  void visit_output(std::int64_t block, const OutputVisitor& visitor) const;

  /// Applies the rest of the block: the activations are then the inputs of the next one.
  void finish(std::int64_t block);

  /// Called with what goes into a block and what comes out of it, group after group of whole
  /// windows: [rows, hidden].
  using BlockVisitor = std::function<void(const Matrix& before, const Matrix& after)>;

  /// The same for a block of which no stage was visited yet.
  void finish(std::int64_t block, const BlockVisitor& visitor);

  std::int64_t tokens() const { return tokens_; }
  std::int64_t windows() const { return windows_; }

  /// What the next block reads of one window, [tokens, hidden]. Only between blocks.
  Matrix block_input(std::int64_t window) const;

 private:
  using State = Forward<CpuOperations>::State;
  class GroupWalk;

  void advance_to(State& state, const Batch& batch, std::int64_t block, int stage);
  State take_advanced(std::int64_t group, std::int64_t block, Stage stage);
  void put_back(std::int64_t group, State state);
  void show(std::int64_t block, Stage stage, const State& state, const InputVisitor& visitor) const;
  std::int64_t groups() const { return static_cast<std::int64_t>(batches_.size()); }

  const Model& model_;
  std::int64_t tokens_;
  std::int64_t windows_;
  // All groups use the same caches in turn: the keys of a block are needed only while it is
  // computed.
  std::vector<KeyValueCache> caches_;
  std::vector<Batch> batches_;
  ActivationStore store_;
  int stage_ = -1;  // whose input the states hold; -1: `residual` holds the input of the block
};

}  // namespace terse
