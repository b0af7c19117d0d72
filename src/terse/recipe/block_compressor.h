// One block through the steps of a schedule: what is written of it, and what later blocks see.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "terse/core/progress.h"
#include "terse/core/tensor.h"
#include "terse/recipe/calibration_stream.h"
#include "terse/recipe/importance_scores.h"
#include "terse/recipe/reference_stream.h"
#include "terse/recipe/report.h"
#include "terse/recipe/schedule.h"

namespace terse {

/// Everything of a block that is not as it was.
struct BlockResult {
  std::vector<NamedTensor> tensors;
  std::vector<LinearReport> linears;
  std::vector<std::string> notes;
  /// With `dequantize`: the weights that later blocks see, where `tensors` round them.
  std::vector<NamedTensor> exact_tensors;
  std::map<std::string, Json> exact_storage;  ///< Weight::config by module.
};

/// A weight before and after its steps.
struct CompressedLinear {
  std::string module;
  Matrix before;
  LinearResult result;
  bool pruned = false;
  DType dtype = DType::f32;  ///< Of the module in the checkpoint.
  bool transposed = false;   ///< Dense weights are stored as [in, out].
};

/// Adds the tensors and the report of a linear to `out`; returns the weight that they stand for.
std::unique_ptr<Weight> store_linear(CompressedLinear linear, const OutputSettings& settings,
                                     const InputStatistics* inputs, BlockResult& out);

/// |W - W'|^2 / |W|^2, and the share of zeros.
double relative_weight_error(const Matrix& weight, const Matrix& compressed);
double share_of_zeros(const Matrix& weight);

/// A linear on its way through the steps that are for it.
struct LinearInWork {
  std::string module;
  LinearKey key;
  const std::vector<LinearStep>* steps;
  std::size_t done = 0;  ///< So many steps have worked on it.
  LinearResult result;   ///< What they made of its weight [out, in].
  bool pruned = false;
  std::function<Matrix(ImportanceScore)> importance = {};  ///< Reads scores of its weight.
};

/// What stands in for the inputs of an expert that takes no row: each input once, alone and of the
/// same size, so that no input counts more than another and none goes with another.
void add_unit_inputs(InputStatistics& inputs);

/// Takes linears that read the same input through all their steps; those that share a method are
/// handed to it together.
void apply_steps(std::vector<LinearInWork>& works, const InputStatistics* inputs);

/// The linears that read an input and that steps are for, with their weights as they are.
std::vector<LinearInWork> linears_in_work(const Model& model, const Schedule& schedule,
                                          std::int64_t block, const StageInput& input);

/// Gives a linear of a model the weight that its steps made, and adds it to `out`.
void replace_linear(const Model& model, Linear& linear, LinearInWork work,
                    const OutputSettings& settings, const InputStatistics* inputs,
                    BlockResult& out);

/// Works on one block after another.
class BlockWorker {
 public:
  virtual ~BlockWorker() = default;

  /// Changes a block that is loaded: it then holds the weights that the tensors stand for, exactly.
  /// The stream has visited its stages at most, and has not finished it.
  virtual BlockResult compress(std::int64_t block) = 0;
};

/// Takes each linear of a block through its steps, stage by stage.
class BlockCompressor : public BlockWorker {
 public:
  /// `stream` is null when nothing is calibrated, `importance` when no step reads scores,
  /// `reference` when none asks how inputs have moved. All must outlive it.
  BlockCompressor(Model& model, const Schedule& schedule, CalibrationStream* stream,
                  bool true_sequential, const OutputSettings& output, Progress& progress,
                  const ImportanceScores* importance = nullptr,
                  std::unique_ptr<ReferenceStream> reference = nullptr);

  BlockResult compress(std::int64_t block) override;

 private:
  void transform(std::int64_t block, BlockResult& result);
  void compress_stages(std::int64_t block, BlockResult& result);
  void add_stage_statistics(std::int64_t block, Stage stage, bool beside);
  void stand_in(std::int64_t block, const StageInput& input, BlockResult& result);
  void compress_readers(std::int64_t block, const StageInput& input, BlockResult& result);
  void store_scaled(std::int64_t block, const StageInput& input, BlockResult& result) const;
  void store_vectors(std::int64_t block, const Block& before, BlockResult& result);
  Model& model_;
  const Schedule& schedule_;
  CalibrationStream* stream_;
  bool true_sequential_;
  OutputSettings output_;
  Progress& progress_;
  const ImportanceScores* importance_;
  std::unique_ptr<ReferenceStream> reference_;
  std::map<LinearKey, const Weight*> loaded_;         // weights of the block as they were read
  std::map<StageInput, InputStatistics> statistics_;  // of the block, as long as they are needed
};

}  // namespace terse
