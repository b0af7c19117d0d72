// What needs gradients, as the rest of the program asks for it. The work is done by a module with
// libtorch (src/terse/train) that is loaded when it is first needed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "terse/core/method_registry.h"
#include "terse/core/progress.h"
#include "terse/formats/peft_adapter.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/model/model.h"

namespace terse {

/// Where tokens to learn from come from: files of text, or a file of token ids.
struct TrainingText {
  std::vector<std::filesystem::path> texts;
  std::string text_key = "text";  ///< Of .jsonl lines.
  std::filesystem::path token_file;

  bool given() const { return !texts.empty() || !token_file.empty(); }
};

/// A teacher's predictions in a file, which is written once and read by every later run
/// (formats/teacher_outputs.h).
struct CachedTeacher {
  std::filesystem::path file;  ///< Empty: the teacher is in the process.
  std::int64_t top_k = 0;      ///< Tokens of a position; 0: 64, or the vocabulary if it has fewer.
  std::map<std::string, std::string> digests = {};  ///< Of the teacher's files, by their names.
};

/// How gradients are computed.
struct GradientSettings {
  bool gradient_checkpointing = false;  ///< Keep inputs of blocks alone and compute them again.
  std::int64_t loss_rows = 512;         ///< Rows of logits that are held at a time.
  std::string device = "cpu";           ///< As libtorch names it.
};

/// The loop, in the words of transformers' TrainingArguments. A step sees
/// `batch_size * gradient_accumulation_steps` windows.
struct TrainingSettings : GradientSettings {
  std::int64_t max_steps = 0;    ///< 0: as many as the epochs have.
  double num_train_epochs = 1;   ///< Only without max_steps.
  std::int64_t window = 0;       ///< Tokens that are predicted at a time; 0: the context, to 2048.
  std::int64_t batch_size = 16;  ///< Windows that are computed together.
  std::int64_t gradient_accumulation_steps = 1;
  double learning_rate = 1e-3;
  std::string lr_scheduler_type = "cosine";  ///< "constant", "cosine", "wsd".
  std::int64_t warmup_steps = 20;
  double decay_share = 0.2;  ///< Of the steps, at the end: the decay of "wsd".
  double min_lr_rate = 0.1;  ///< Last learning rate, as a share of the highest.
  double weight_decay = 0.1;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.95;
  double adam_epsilon = 1e-8;
  double max_grad_norm = 1.0;  ///< 0: gradients are not clipped.
  std::uint64_t seed = 0;
  std::int64_t eval_steps = 0;    ///< Steps between validations; 0: at the end alone.
  std::int64_t save_steps = 100;  ///< Steps between copies that a killed run goes on from.
};

struct TrainingTask {
  std::filesystem::path input;   ///< Model directory.
  std::filesystem::path output;  ///< Directory to create.
  bool from_scratch = false;  ///< Begin from random weights: of `input` only config and tokenizer.
  TrainingText text;
  TrainingText validation;
  TrainingSettings settings;
  std::filesystem::path metrics;  ///< File that a JSON line a step is appended to; may be empty.
  bool force = false;             ///< Replace an output that exists.
  bool restart = false;           ///< Begin anew where an unfinished output would be continued.
};

struct TrainingReport {
  std::int64_t steps = 0;
  std::int64_t resumed_steps = 0;  ///< That an earlier run had done.
  std::int64_t tokens = 0;         ///< Predicted by this run.
  double loss = 0;                 ///< Mean of the last tenth of the steps, nats per token.
  std::optional<double> validation_loss = {};
  std::optional<double> best_validation_loss = {};
  std::int64_t best_step = 0;
};

/// What importance scores are made from.
struct ImportanceTask {
  std::filesystem::path input;   ///< Model directory; its linears are stored dense.
  std::filesystem::path output;  ///< File to write (formats/importance_file.h).
  TrainingText text;
  std::int64_t samples = 128;  ///< Windows, spread evenly over the text; 0: all.
  std::int64_t window = 0;     ///< Tokens of a window; 0: the context, to 2048.
  GradientSettings gradients;
  bool force = false;  ///< Replace a file that exists.
};

/// Scores of a block and of its attention heads (docs/importance.md).
struct BlockImportance {
  double fisher = 0;
  double taylor = 0;
  std::vector<double> head_fisher;
  std::vector<double> head_taylor;
};

struct ImportanceReport {
  std::int64_t windows = 0;
  std::int64_t window = 0;  ///< Tokens of each.
  double loss = 0;          ///< Mean over the windows, nats per token.
  std::uint64_t bytes = 0;  ///< Of the tensors of the file.
  std::vector<BlockImportance> blocks;

  std::int64_t tokens() const { return windows * (window - 1); }  ///< That were predicted.
};

/// A step of a recipe that learns.
struct LearningProblem {
  const MethodInfo& info;
  const MethodOptions& options;
  const Model& model;                     ///< As the steps before left it; all blocks are loaded.
  std::function<const Model&()> input;    ///< The recipe's input, loaded when it is asked for.
  std::function<const Model&()> teacher;  ///< Another model, or the recipe's input.
  /// Linears that it is aimed at, and those whose zeros stay zeros.
  std::function<bool(std::int64_t block, const LinearKey& key)> chosen;
  std::function<bool(std::int64_t block, const LinearKey& key)> pruned;
  TrainingText text;
  std::int64_t window = 0;       ///< Tokens that are predicted at a time; 0: as TrainingSettings.
  std::filesystem::path folder;  ///< For what a run that was killed goes on from.
  std::function<void()> kept;    ///< Called when something is there to go on from.
  CachedTeacher cached_teacher;  ///< Where it names a file, `teacher` is not asked for.
  bool input_rounded = true;     ///< The model is the recipe's input, rounded at most.
};

/// A teacher whose predictions are to be in a file.
struct TeacherTask {
  const Architecture& architecture;  ///< The teacher's.
  std::function<const Model&()>
      teacher;  ///< Loaded when it is asked for: not if the file is there.
  CachedTeacher cached;
  TrainingText text;
  std::filesystem::path model;   ///< Directory of the tokenizer that the text is read with.
  std::int64_t window = 0;       ///< As LearningProblem's.
  std::filesystem::path folder;  ///< That of the LearningProblem: the text is packed once for both.
  std::string device = "cpu";    ///< As libtorch names it.
};

/// What a step made of the model: whatever it trained. Biases, norms and positions by the names of
/// their tensors; weights by their modules.
struct LearnedModel {
  std::map<std::string, std::shared_ptr<Weight>> weights;
  std::vector<NamedTensor> vectors;
  std::optional<PeftAdapter> adapter;  ///< Where the step was asked to save one.
  TrainingReport report;
};

/// Rows of a block that are trained together: few enough for the memory, enough for the products.
inline constexpr std::int64_t kReconstructedRows = 2048;

/// A block whose linears are quantised together, so that its outputs change least.
struct ReconstructionProblem {
  const MethodInfo& info;
  const MethodOptions& options;  ///< As they are for linears that no table names.
  const Model& model;            ///< The block is loaded, its weights as they were.
  std::int64_t block = 0;
  /// The linears to quantise, rounded to the nearest points of the grids asked for.
  std::map<LinearKey, QuantizedMatrix> linears;
  std::int64_t windows = 0;  ///< Calibration windows, and
  std::int64_t window = 0;   ///< tokens of each.
  /// By the number of a window, [window, hidden]: what the block reads after those before it were
  /// compressed, and what it puts out in the recipe's input.
  std::function<Matrix(std::int64_t)> inputs;
  std::function<Matrix(std::int64_t)> targets;
};

/// What the module can do.
class TrainingModule {
 public:
  virtual ~TrainingModule() = default;

  /// Trains all weights of a model on text. A run that was killed goes on from its last copy and
  /// ends with the same bytes. Errors: bad_input for text shorter than a batch and for what differs
  /// from an unfinished output; failed where a loss is not finite (the last good copy stays).
  virtual TrainingReport train(const TrainingTask& task, Progress& progress) = 0;

  /// Writes what a teacher predicts for a text, or finds that the file is there and fits. Errors:
  /// bad_input for a file of another text, teacher, window or number of tokens; failed.
  virtual void cache_teacher(const TeacherTask& task, Progress& progress) = 0;

  /// One step of a recipe. Resumes and fails as `train`; bad_usage for options that contradict.
  virtual LearnedModel learn(const LearningProblem& problem, Progress& progress) = 0;

  /// One block of a step of a recipe. Errors: failed where an error is not finite.
  virtual std::map<LinearKey, QuantizedMatrix> reconstruct(const ReconstructionProblem& problem,
                                                           Progress& progress) = 0;

  /// Scores the weights, heads and blocks of a model by their gradients and writes the file.
  /// Errors: bad_input for a model that is compressed already, text shorter than a window and an
  /// output that is there; failed where a loss or gradient is not finite.
  virtual ImportanceReport score(const ImportanceTask& task, Progress& progress) = 0;
};

/// The options of the loop, with a method's own learning rate, after the method's `own`.
std::vector<MethodOption> with_training_options(double learning_rate,
                                                std::vector<MethodOption> own);

/// The loop that options ask for.
TrainingSettings training_settings(const MethodOptions& options);

/// Loads the module from beside the library, once. Errors: failed, saying what to install.
TrainingModule& training_module();

}  // namespace terse
