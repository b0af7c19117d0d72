#include "terse/recipe/memory_plan.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "terse/core/error.h"
#include "terse/core/text.h"
#include "terse/core/threads.h"
#include "terse/recipe/calibration_stream.h"

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

// Sizes of the linears of one stage, of those that a step is for.
struct StageSize {
  bool reads_norm = false;
  std::int64_t inputs = 0;
  std::int64_t values = 0;   // of all linears
  std::int64_t worked = 0;   // of those with steps
  std::int64_t largest = 0;  // of those with steps
  bool second_moments = false;
  bool coded = false;
};

StageSize size_of(const Architecture& a, const Schedule& schedule, std::int64_t block,
                  Stage stage) {
  StageSize size;
  size.reads_norm = stage == Stage::attention_input || stage == Stage::mlp_input;
  for (const LinearRole role : a.roles(stage)) {
    const std::int64_t values = a.out_features(role) * a.in_features(role);
    size.inputs = a.in_features(role);
    size.values += values;
    const auto& steps = schedule.linear_steps(block, role);
    if (steps.empty()) continue;
    size.worked += values;
    size.largest = std::max(size.largest, values);
    size.coded = size.coded || steps.back().info->category == "quantize";
  }
  const StatisticsNeeds needs = schedule.needs(block, stage);
  size.second_moments = needs.second_moments || !needs.any();
  return size;
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

// The dense weights of a stage, the factor of the moments, what one linear is worked on in (by
// tiles of rows where codes are made, else whole), codes.
std::uint64_t solving_bytes(const StageSize& size) {
  const std::uint64_t factor =
      size.second_moments ? bytes_of(size.inputs * size.inputs) : std::uint64_t{0};
  const std::uint64_t scratch = bytes_of(size.largest) / (size.coded ? 2 : 1);
  return factor + bytes_of(size.worked) + scratch + bytes_of(size.worked, 1);
}

std::uint64_t statistics_bytes(const StageSize& size) {
  return size.second_moments ? bytes_of(size.inputs * size.inputs) : bytes_of(size.inputs * 4);
}

// Rows of one group: what a stage reads, what it makes and the residual stream; keys and values.
std::uint64_t passing_bytes(const Architecture& a, std::int64_t window) {
  const std::int64_t rows = windows_per_group(window) * window;
  const std::int64_t attention = 2 * a.query_size() + 4 * a.key_size();
  const std::int64_t mlp = (a.gated ? 2 : 1) * a.intermediate_size;
  return bytes_of(rows * (2 * a.hidden_size + std::max(attention, mlp)));
}

// All blocks and the head as they run, caches and logits of the sequences that are written
// together.
std::uint64_t generation_bytes(const Model& model, std::int64_t window) {
  const Architecture& a = model.architecture();
  const std::uint64_t table = bytes_of(a.vocab_size * a.embedding_size, dtype_size(model.dtype()));
  const std::uint64_t rows_in_place = model.tied() ? 0 : table;
  const std::int64_t sequences = generated_together(a, window);
  return model.checkpoint().total_bytes() - rows_in_place +
         bytes_of(sequences * (2 * a.num_hidden_layers * a.key_size() * window + a.vocab_size));
}

// Codes and their packed form of both matrices, and the rows that are being rounded.
std::uint64_t embeddings_bytes(const Model& model, const OutputSettings& output) {
  if (output.embeddings_bits == 0) return 0;
  const Architecture& a = model.architecture();
  const std::int64_t values = a.vocab_size * a.embedding_size;
  const std::uint64_t stored = output.dequantize ? dtype_size(model.dtype()) : 1;
  return bytes_of(values, 1 + (model.tied() ? 1 : 2) * stored) +
         bytes_of(4 * 4096 * a.embedding_size);
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

}  // namespace

std::uint64_t MemoryPlan::without_activations() const {
  return program + block + written + statistics + std::max(solving, passing);
}

std::uint64_t MemoryPlan::peak() const {
  return std::max({without_activations() + held, program + generation, program + embeddings});
}

MemoryPlan plan_memory(const Model& model, const Schedule& schedule,
                       const CalibrationSize& calibration, const OutputSettings& output,
                       std::uint64_t limit) {
  const Architecture& a = model.architecture();
  const std::uint64_t dtype = dtype_size(model.dtype());
  MemoryPlan plan;
  plan.program =
      kProgram + kPerThread * static_cast<std::uint64_t>(thread_count()) + vectors_bytes(a);
  const bool calibrated = calibration.tokens > 0;
  const bool scaled = !schedule.block_steps().empty();
  std::uint64_t moments = 0;
  std::uint64_t largest_moments = 0;
  std::uint64_t values = 0;
  // The stage at which the most is held: those before it have run, those after it are as read.
  std::uint64_t most = 0;
  for (std::size_t at = 0; at < std::size(kStages); ++at) {
    const StageSize now = size_of(a, schedule, 0, kStages[at]);
    std::uint64_t running = 0;
    for (std::size_t other = 0; other < std::size(kStages); ++other) {
      const StageSize size = size_of(a, schedule, 0, kStages[other]);
      if (calibrated) running += running_bytes(size, dtype, scaled, other < at);
    }
    const std::uint64_t statistics = calibrated ? statistics_bytes(now) : 0;
    const std::uint64_t solving = solving_bytes(now);
    const std::uint64_t passing = calibrated ? passing_bytes(a, calibration.window) : 0;
    const std::uint64_t here = running + statistics + std::max(solving, passing);
    if (here >= most) {
      most = here;
      plan.block = running;
      plan.statistics = statistics;
      plan.solving = solving;
      plan.passing = passing;
    }
    values += static_cast<std::uint64_t>(now.values);
    moments += bytes_of(now.inputs * now.inputs);
    largest_moments = std::max(largest_moments, bytes_of(now.inputs * now.inputs));
    plan.written += bytes_of(now.worked, now.coded ? 1 : dtype) / 2;
  }
  if (calibrated) {
    const std::int64_t groups =
        (calibration.tokens / calibration.window + windows_per_group(calibration.window) - 1) /
        windows_per_group(calibration.window);
    plan.activations = bytes_of(groups * group_values(a, calibration.window));
    const std::uint64_t fixed = plan.without_activations();
    plan.held = std::min(plan.activations, limit > fixed ? limit - fixed : 0);
    plan.disk = (plan.activations - plan.held) + 2 * bytes_of(calibration.tokens * a.hidden_size);
  }
  plan.embeddings = embeddings_bytes(model, output);
  if (calibration.self_generated) {
    plan.generation = generation_bytes(model, calibration.window);
  }
  plan.bound =
      std::max(values * kFloat * (scaled ? 2 : 1) + (calibrated ? moments + largest_moments : 0) +
                   2 * values * dtype + plan.held + kBoundAllowance,
               std::max(plan.generation, plan.embeddings) + kBoundAllowance);
  plan.reserved = kReservedByBlas * static_cast<std::uint64_t>(thread_count());
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
