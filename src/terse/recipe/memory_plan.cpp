#include "terse/recipe/memory_plan.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "terse/core/error.h"
#include "terse/core/text.h"
#include "terse/core/threads.h"
#include "terse/methods/training.h"
#include "terse/recipe/calibration_stream.h"
#include "terse/recipe/embeddings.h"

namespace terse {
namespace {

constexpr std::uint64_t kFloat = sizeof(float);
// The program with its libraries and the working memory of BLAS, per thread.
constexpr std::uint64_t kProgram = std::uint64_t{24} << 20;
constexpr std::uint64_t kPerThread = std::uint64_t{6} << 20;
// Measured: OpenBLAS maps so much for each thread that works, and touches some of it.
constexpr std::uint64_t kReservedByBlas = std::uint64_t{256} << 20;
constexpr std::uint64_t kBoundAllowance = std::uint64_t{200} << 20;

std::uint64_t bytes_of(std::int64_t values, std::uint64_t size = kFloat) {
  return static_cast<std::uint64_t>(values) * size;
}

// Sizes of one stage of a block; in values, not bytes.
struct StageSize {
  bool reads_norm = false;
  std::int64_t inputs = 0;
  std::int64_t readers = 1;   // groups of linears with inputs of their own: one, or experts
  std::int64_t values = 0;    // of all linears
  std::int64_t worked = 0;    // of those with steps
  std::int64_t largest = 0;   // of those with steps
  std::int64_t scored = 0;    // of those with steps that read importance scores
  std::uint64_t working = 0;  // bytes that a step works in besides
  bool moments_taken = false;
  bool moments_needed = false;
  bool shift = false;
  bool coded = false;

  std::int64_t moments() const { return inputs * inputs; }
  // Of the inputs of all readers, and of how they have moved.
  std::int64_t sums() const { return readers * moments() * (shift ? 2 : 1); }
};

using BlockSize = std::array<StageSize, std::size(kStages)>;

StageSize size_of(const Architecture& a, const Schedule& schedule, std::int64_t block,
                  Stage stage) {
  StageSize size;
  size.reads_norm = stage == Stage::attention_input || stage == Stage::mlp_input;
  size.inputs = a.in_features(block, stage);
  for (const LinearKey& key : a.block_linears(block, stage)) {
    const std::int64_t rows = a.out_features(block, key.role);
    const std::int64_t values = rows * size.inputs;
    size.values += values;
    const auto& steps = schedule.linear_steps(block, key);
    if (steps.empty()) continue;
    size.worked += values;
    size.largest = std::max(size.largest, values);
    const bool scored = std::ranges::any_of(
        steps, [](const LinearStep& step) { return step.method->importance().has_value(); });
    size.scored += scored ? values : 0;
    size.coded = size.coded || steps.back().method->quantizes();
    for (const LinearStep& step : steps) {
      size.working = std::max(size.working, step.method->working_bytes(rows, size.inputs));
    }
  }
  const std::vector<StageInput> read = a.inputs(block, stage);
  size.readers = static_cast<std::int64_t>(read.size());
  for (const StageInput& input : read) {
    const StatisticsNeeds needs = schedule.needs(block, input);
    size.moments_needed = size.moments_needed || needs.second_moments;
    size.shift = size.shift || needs.shift;
    size.moments_taken = size.moments_taken || schedule.statistics(block, input).second_moments;
  }
  return size;
}

BlockSize size_of(const Architecture& a, const Schedule& schedule, std::int64_t block) {
  BlockSize sizes;
  for (std::size_t at = 0; at < sizes.size(); ++at) {
    sizes[at] = size_of(a, schedule, block, kStages[at]);
  }
  return sizes;
}

// Weights that run: in their own type as they are read. What a block method scaled is held in
// float32, and what was changed otherwise both as it is stored and as it runs, which for codes is
// float32.
std::uint64_t running_bytes(const StageSize& size, std::uint64_t dtype, bool scaled, bool done) {
  // Every block method scales what reads norms; some scale the rest too.
  const std::uint64_t before = !scaled           ? dtype
                               : size.reads_norm ? 2 * kFloat
                                                 : (2 * kFloat + dtype) / 2;
  if (!done) return bytes_of(size.values, before);
  const std::uint64_t changed = size.coded ? kFloat + 1 : 2 * dtype;
  return bytes_of(size.values - size.worked, dtype) + bytes_of(size.worked, changed);
}

// The dense weights of a stage and their scores, the factor of the moments, what one linear is
// worked on in (by tiles of rows where codes are made, else whole), codes.
std::uint64_t solving_bytes(const StageSize& size) {
  const std::uint64_t factor = size.moments_needed ? bytes_of(size.moments()) : std::uint64_t{0};
  const std::uint64_t scratch = bytes_of(size.largest) / (size.coded ? 2 : 1);
  return factor + bytes_of(size.worked + size.scored) + scratch + bytes_of(size.worked, 1) +
         size.working;
}

std::uint64_t statistics_bytes(const StageSize& size) {
  return bytes_of(size.moments_taken ? size.sums() : size.readers * size.inputs * 4);
}

// Rows of one group: what a stage reads, what it makes and the residual stream; keys and values.
std::uint64_t passing_bytes(const Architecture& a, std::int64_t window) {
  const std::int64_t rows = windows_per_group(window) * window;
  const std::int64_t attention =
      a.head_dim * (2 * a.num_attention_heads + 4 * a.num_key_value_heads);
  const std::int64_t taken = a.num_experts > 0 ? a.experts.per_token : 1;
  const std::int64_t mlp = taken * (a.gated ? 2 : 1) * a.intermediate_size;
  return bytes_of(rows * ((1 + taken) * a.hidden_size + std::max(attention, mlp)));
}

// libtorch once it is loaded, and one block in it: of each weight that is trained its values, its
// offset, the gradient of this and the rounded weight, and what the backward pass of the largest
// works in; rows that are trained together, as many as the module takes, with what the graph keeps.
std::uint64_t training_bytes(const Architecture& a, const BlockSize& sizes, std::int64_t window) {
  constexpr std::uint64_t kLibrary = std::uint64_t{96} << 20;
  std::int64_t worked = 0;
  std::int64_t others = 0;
  std::int64_t largest = 0;
  for (const StageSize& size : sizes) {
    worked += size.worked;
    others += size.values - size.worked;
    largest = std::max(largest, size.largest);
  }
  const std::int64_t rows = std::max(window, kReconstructedRows);
  const std::int64_t kept = 10 * a.hidden_size +
                            4 * a.head_dim * (a.num_attention_heads + 2 * a.num_key_value_heads) +
                            (a.gated ? 6 : 3) * a.intermediate_size;
  return kLibrary + bytes_of(4 * worked + 6 * largest + others + rows * kept);
}

// All blocks and the head as they run, caches and logits of the sequences that are written
// together.
std::uint64_t generation_bytes(const Model& model, std::int64_t window) {
  const Architecture& a = model.architecture();
  const std::uint64_t table = bytes_of(a.vocab_size * a.embedding_size, dtype_size(model.dtype()));
  const std::uint64_t rows_in_place = model.tied() ? 0 : table;
  const std::int64_t sequences = generated_together(a, window);
  return model.checkpoint().total_bytes() - rows_in_place +
         bytes_of(sequences * (2 * a.all_key_features() * window + a.vocab_size));
}

// Codes and their packed form of both matrices, and the rows that are being rounded.
std::uint64_t embeddings_bytes(const Model& model, const OutputSettings& output) {
  if (output.embeddings_bits == 0) return 0;
  const Architecture& a = model.architecture();
  const std::int64_t values = a.vocab_size * a.embedding_size;
  const std::uint64_t stored = output.dequantize ? dtype_size(model.dtype()) : 1;
  return bytes_of(values, 1 + (model.tied() ? 1 : 2) * stored) +
         bytes_of(4 * kEmbeddingRows * a.embedding_size);
}

std::uint64_t vectors_bytes(const Architecture& a) {
  const std::int64_t positions =
      a.learned_positions ? a.max_position_embeddings * a.hidden_size : 0;
  return bytes_of(positions + 16 * a.hidden_size);
}

// Memory that the system could give, by its own account.
std::uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string name; file >> name;) {
    std::uint64_t kibibytes = 0;
    std::string unit;
    file >> kibibytes >> unit;
    if (name == "MemAvailable:") return kibibytes << 10;
  }
  return std::numeric_limits<std::uint64_t>::max() / 8;
}

// What a block takes while one of its stages is worked on: the stages before it run as they were
// made, those after it as they were read.
MemoryPlan stage_plan(const Architecture& a, const BlockSize& sizes, std::size_t at,
                      const CalibrationSize& calibration, std::uint64_t dtype, bool scaled) {
  MemoryPlan plan;
  plan.solving = solving_bytes(sizes[at]);
  if (calibration.tokens == 0) return plan;
  const bool beside = std::ranges::any_of(sizes, &StageSize::shift);
  for (std::size_t other = 0; other < sizes.size(); ++other) {
    plan.block += running_bytes(sizes[other], dtype, scaled, other < at);
    if (beside) plan.block += running_bytes(sizes[other], dtype, false, false);
  }
  plan.statistics = statistics_bytes(sizes[at]);
  plan.passing = passing_bytes(a, calibration.window);
  return plan;
}

// The whole block is measured and trained at once.
void add_reconstruction(const Architecture& a, const BlockSize& sizes,
                        const CalibrationSize& calibration, MemoryPlan& plan) {
  plan.training = training_bytes(a, sizes, calibration.window);
  plan.statistics = 0;
  for (const StageSize& size : sizes) plan.statistics += statistics_bytes(size);
}

// The largest block in float32 (twice where it is scaled: as it is kept and as it runs; twice where
// a model runs beside it), sums over the inputs of all stages and moments of the largest, a block
// that is read ahead and one that is written, the importance scores of the largest stage, what the
// largest step works in.
std::uint64_t block_bound(const BlockSize& sizes, const CalibrationSize& calibration,
                          std::uint64_t dtype, bool scaled) {
  std::int64_t values = 0;
  std::int64_t moments = 0;
  std::int64_t largest = 0;
  std::int64_t scored = 0;
  std::uint64_t working = 0;
  const bool beside = std::ranges::any_of(sizes, &StageSize::shift);
  for (const StageSize& size : sizes) {
    scored = std::max(scored, size.scored);
    working = std::max(working, size.working);
    values += size.values * (beside ? 2 : 1);
    moments += size.sums();
    largest = std::max(largest, size.moments());
  }
  return bytes_of(values, (scaled ? 2 : 1) * kFloat + 2 * dtype) + bytes_of(scored) + working +
         (calibration.tokens > 0 ? bytes_of(moments + largest) : 0);
}

// Of all blocks the one that takes the most.
MemoryPlan largest_block(const Model& model, const Schedule& schedule,
                         const CalibrationSize& calibration) {
  const Architecture& a = model.architecture();
  const std::uint64_t dtype = dtype_size(model.dtype());
  const bool scaled = !schedule.block_steps().empty();
  MemoryPlan most;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    const BlockSize sizes = size_of(a, schedule, block);
    std::uint64_t written = 0;
    for (const StageSize& size : sizes) {
      written += bytes_of(size.worked, size.coded ? 1 : dtype) / 2;
    }
    const std::uint64_t bound =
        std::max(most.bound, block_bound(sizes, calibration, dtype, scaled));
    for (std::size_t at = 0; at < sizes.size(); ++at) {
      MemoryPlan plan = stage_plan(a, sizes, at, calibration, dtype, scaled);
      plan.written = written;
      if (schedule.reconstruction() != nullptr) add_reconstruction(a, sizes, calibration, plan);
      if (plan.without_activations() >= most.without_activations()) most = plan;
    }
    most.bound = bound;
  }
  return most;
}

// Values of the largest block and of its largest linear, and the most inputs that one has.
struct ShapedSize {
  std::int64_t values = 0;
  std::int64_t largest = 0;
  std::int64_t inputs = 0;
};

ShapedSize shaped_size(const Architecture& a) {
  ShapedSize size;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    std::int64_t values = 0;
    for (const LinearKey& key : a.block_linears(block)) {
      const std::int64_t inputs = a.in_features(block, key.role);
      const std::int64_t own = inputs * a.out_features(block, key.role);
      values += own;
      size.largest = std::max(size.largest, own);
      size.inputs = std::max(size.inputs, inputs);
    }
    size.values = std::max(size.values, values);
  }
  return size;
}

// What a step does to a block, by which it takes memory.
enum class Shaping { looking, rewriting, slicing };

Shaping shaping_of(const ShapeMethod& method) {
  if (method.needs().residual) return Shaping::slicing;
  const bool rewrites =
      method.rewriting() || method.resolves() || method.compensation() != Compensation::none;
  return rewrites ? Shaping::rewriting : Shaping::looking;
}

// Weights that were changed are held in float32, as they are kept and as they run, and as they will
// be written; a linear is turned out of place. The moments of the widest input with what solving
// takes; or those of the residual stream, three rotations of it, and the decomposition.
// A second stream has a block of its own, and the shift between them is another matrix.
MemoryPlan shaped_block(const Architecture& a, Shaping shaping, std::int64_t streams,
                        std::uint64_t dtype) {
  const ShapedSize size = shaped_size(a);
  const std::int64_t square = shaping == Shaping::slicing ? a.hidden_size : size.inputs;
  MemoryPlan plan;
  plan.block = bytes_of(size.values, dtype) + bytes_of(3 * size.largest);
  if (shaping == Shaping::looking) return plan;
  plan.block += bytes_of(size.values, 2 * kFloat + (streams > 1 ? dtype : 0));
  plan.written = bytes_of(size.values, dtype);
  plan.statistics = bytes_of(streams * square * square);
  plan.solving = bytes_of((shaping == Shaping::slicing ? 9 : 3) * square * square);
  return plan;
}

}  // namespace

MemoryPlan larger(const MemoryPlan& one, const MemoryPlan& other) {
  MemoryPlan most = other.peak() >= one.peak() ? other : one;
  most.bound = std::max(one.bound, other.bound);
  most.disk = std::max(one.disk, other.disk);
  return most;
}

MemoryPlan plan_shape_memory(const Model& model, const ShapeMethod& method,
                             const CalibrationSize& calibration, std::uint64_t limit) {
  const Architecture& a = model.architecture();
  const auto threads = static_cast<std::uint64_t>(thread_count());
  const std::uint64_t dtype = dtype_size(model.dtype());
  const Shaping shaping = shaping_of(method);
  MemoryPlan plan = shaped_block(a, shaping, stream_count(method), dtype);
  plan.program = kProgram + kPerThread * threads + vectors_bytes(a);
  if (shaping == Shaping::slicing) {
    plan.embeddings = bytes_of((model.tied() ? 2 : 1) * a.vocab_size * a.embedding_size, dtype);
  }
  if (is_calibrated(method)) {
    plan.passing = passing_bytes(a, calibration.window);
    const std::int64_t groups = group_count(calibration.tokens, calibration.window);
    plan.activations =
        bytes_of(stream_count(method) * groups * group_values(a, calibration.window));
    const std::uint64_t fixed = plan.without_activations();
    plan.held = std::min(plan.activations, limit > fixed ? limit - fixed : 0);
    plan.disk = (plan.activations - plan.held) + 2 * bytes_of(calibration.tokens * a.hidden_size);
    if (calibration.self_generated) plan.generation = generation_bytes(model, calibration.window);
  }
  // The whole model, with the logits of the windows that are scored together.
  if (method.needs().evaluator) {
    const std::int64_t rows = windows_per_group(calibration.window) * calibration.window;
    plan.evaluation =
        model.checkpoint().total_bytes() + bytes_of(rows * a.vocab_size) + plan.passing;
  }
  plan.bound = std::max({plan.without_activations() - plan.program + plan.held, plan.generation,
                         plan.evaluation, plan.embeddings}) +
               kBoundAllowance;
  plan.reserved = kReservedByBlas * threads;
  return plan;
}

std::uint64_t MemoryPlan::without_activations() const {
  return program + block + written + statistics + std::max({solving, passing, training});
}

std::uint64_t MemoryPlan::peak() const {
  return std::max({without_activations() + held, program + generation, program + evaluation,
                   program + embeddings});
}

std::int64_t stream_count(const ShapeMethod& method) {
  return method.resolves() ? 2 : 1;
}

std::int64_t stream_count(const Schedule& schedule) {
  return schedule.reconstruction() != nullptr || schedule.shifts() ? 2 : 1;
}

MemoryPlan plan_memory(const Model& model, const Schedule& schedule,
                       const CalibrationSize& calibration, const OutputSettings& output,
                       std::uint64_t limit) {
  const Architecture& a = model.architecture();
  const auto threads = static_cast<std::uint64_t>(thread_count());
  MemoryPlan plan = largest_block(model, schedule, calibration);
  plan.program = kProgram + kPerThread * threads + vectors_bytes(a);
  if (calibration.tokens > 0) {
    const std::int64_t groups = group_count(calibration.tokens, calibration.window);
    plan.activations =
        bytes_of(stream_count(schedule) * groups * group_values(a, calibration.window));
    const std::uint64_t fixed = plan.without_activations();
    plan.held = std::min(plan.activations, limit > fixed ? limit - fixed : 0);
    plan.disk = (plan.activations - plan.held) + 2 * bytes_of(calibration.tokens * a.hidden_size);
  }
  plan.embeddings = embeddings_bytes(model, output);
  if (calibration.self_generated) plan.generation = generation_bytes(model, calibration.window);
  plan.bound =
      std::max({plan.bound + plan.training + plan.held, plan.generation, plan.embeddings}) +
      kBoundAllowance;
  plan.reserved = kReservedByBlas * threads;
  return plan;
}

void require_fit(const MemoryPlan& plan, std::uint64_t limit) {
  if (plan.peak() <= limit) return;
  if (plan.program + plan.generation > limit && plan.without_activations() <= limit) {
    throw bad_usage(
        "generating calibration text takes the whole model, {}, where --memory allows {}; give "
        "--calibration-text or --calibration-tokens",
        bytes_text(plan.program + plan.generation), bytes_text(limit));
  }
  throw bad_usage("the recipe needs {} on this model, where --memory allows {}",
                  bytes_text(plan.peak()), bytes_text(limit));
}

std::uint64_t default_memory_limit() {
  return available_memory() / 5 * 4;
}

}  // namespace terse
