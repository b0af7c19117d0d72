#include "terse/recipe/block_cost.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/random.h"
#include "terse/model/cpu_operations.h"
#include "terse/model/weights/dense.h"
#include "terse/recipe/block_compressor.h"

namespace terse {
namespace {

// Sizes that show the speed of the machine and take no longer than a person waits.
constexpr std::int64_t kRows = 512;
constexpr std::int64_t kLargest = 2048;
constexpr std::size_t kWrittenBytes = std::size_t{64} << 20;

template <class Body>
double seconds_of(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The least of some runs: what else the machine does only adds.
template <class Body>
double least_seconds(const Body& body) {
  constexpr int kRuns = 3;
  double least = seconds_of(body);
  for (int run = 1; run < kRuns; ++run) least = std::min(least, seconds_of(body));
  return least;
}

// Values that look like weights or activations: the sum of two uniform ones.
Matrix random_values(std::int64_t rows, std::int64_t columns, float scale, std::uint64_t seed) {
  Matrix values(rows, columns);
  Random random(seed);
  for (float& value : std::span(values.data(), static_cast<std::size_t>(values.size()))) {
    const std::uint64_t bits = random.next();
    const auto low = static_cast<float>(bits & 0xffffffU);
    const auto high = static_cast<float>(bits >> 40);
    value = scale * (low - high) * 0x1p-24F;
  }
  return values;
}

// Experts share the weights of the first: all of them need not fit into memory.
Block random_block(const Architecture& a, std::int64_t index, DType dtype) {
  Block block;
  std::uint64_t seed = 1;
  const auto random_weight = [&](std::int64_t rows, std::int64_t columns) {
    return std::make_shared<DenseWeight>(random_values(rows, columns, 0.05F, ++seed), dtype);
  };
  for (const LinearKey& key : a.block_linears(index)) {
    const LinearRole role = key.role;
    Linear& linear = block.linears[key];
    linear.module = std::string(role_name(role));
    linear.weight = key.expert > 0
                        ? block.linears.at({role, 0}).weight
                        : random_weight(a.out_features(index, role), a.in_features(index, role));
    if (a.biases.contains(role)) linear.bias = Vector::Zero(a.out_features(index, role));
  }
  if (a.has_experts(index)) {
    block.router = {"router", random_weight(a.shape(index).num_experts, a.hidden_size), {}};
  }
  for (const NormRole role : a.norm_roles(index)) {
    const std::int64_t size = a.norm_size(role);
    Norm& norm = block.norms[role];
    norm.weight = Vector::Ones(size);
    if (a.norm == NormKind::layer) norm.bias = Vector::Zero(size);
  }
  return block;
}

// An architecture with blocks of one shape.
Architecture of_block(Architecture a, std::int64_t block) {
  const BlockShape shape = a.shape(block);
  a.block_shapes.clear();
  a.num_attention_heads = shape.num_attention_heads;
  a.num_key_value_heads = shape.num_key_value_heads;
  a.intermediate_size = shape.intermediate_size;
  a.num_experts = shape.num_experts;
  return a;
}

void divide_heads(Architecture& a, std::int64_t divisor) {
  a.num_attention_heads = std::max<std::int64_t>(1, a.num_attention_heads / divisor);
  while (a.num_key_value_heads > 1 && a.num_attention_heads % a.num_key_value_heads != 0) {
    --a.num_key_value_heads;
  }
  a.num_key_value_heads = std::min(a.num_key_value_heads, a.num_attention_heads);
  a.hidden_size = a.num_attention_heads * a.head_dim;
}

// A smaller architecture of the same form: heads and channels divided.
Architecture divided(Architecture a, std::int64_t divisor) {
  if (a.num_attention_heads == 0) {
    a.hidden_size /= divisor;
  } else {
    divide_heads(a, divisor);
  }
  if (a.intermediate_size > 0) {
    a.intermediate_size = std::max<std::int64_t>(128, a.intermediate_size / divisor / 128 * 128);
  }
  return a;
}
std::int64_t widest(const Architecture& a) {
  return std::max({a.hidden_size, a.intermediate_size, a.num_attention_heads * a.head_dim});
}

double elements_left(const std::vector<LinearStep>& steps, std::int64_t rows,
                     std::int64_t columns) {
  double elements = 0;
  for (const Shape& part : parts_after(steps, rows, columns)) {
    elements += static_cast<double>(element_count(part));
  }
  return elements;
}

double cube(double x) {
  return x * x * x;
}

class Measurement {
 public:
  Measurement(Model& model, const Schedule& schedule, const OutputSettings& output,
              const CalibrationSize& calibration, std::int64_t block)
      : model_(model),
        a_(model.architecture()),
        schedule_(schedule),
        output_(output),
        calibration_(calibration),
        block_(block) {}

  BlockCost run() {
    if (calibration_.tokens > 0) {
      measure_forward();
      for (const Stage stage : kStages) measure_statistics(stage);
      measure_block_methods();
    }
    for (const Stage stage : kStages) measure_linears(stage);
    return cost_;
  }

 private:
  void measure_forward() {
    const std::int64_t rows = std::min(calibration_.window, kRows);
    model_.block(block_) = random_block(a_, block_, model_.dtype());
    for (auto& entry : model_.block(block_).linears) entry.second.weight->prepare();
    if (a_.has_experts(block_)) model_.block(block_).router.weight->prepare();
    KeyValueCache cache(a_, rows, false);
    Batch batch;
    batch.add(cache, std::vector<std::int32_t>(static_cast<std::size_t>(rows)));
    CpuOperations operations(model_, batch);
    Forward forward(a_, operations);
    const Matrix hidden = random_values(rows, a_.hidden_size, 1.0F, 1);
    const auto once = [&] { forward.block(block_, hidden); };
    once();
    cost_.forward = least_seconds(once) / static_cast<double>(rows);
    model_.unload_block(block_);
  }

  void measure_statistics(Stage stage) {
    const std::vector<StageInput> read = a_.inputs(block_, stage);
    if (read.empty()) return;
    const std::int64_t columns = a_.in_features(block_, stage);
    const Matrix inputs = random_values(kRows, columns, 1.0F, 2);
    InputStatistics statistics(columns, schedule_.statistics(block_, read.front()));
    statistics.add(inputs, inputs);
    cost_.statistics += static_cast<double>(a_.stacked(block_, stage)) *
                        least_seconds([&] { statistics.add(inputs, inputs); }) /
                        static_cast<double>(kRows);
    for (const BlockStep& step : schedule_.block_steps()) {
      if (!schedule_.chosen(step.step, block_)) continue;
      InputStatistics whole(columns, step.needs);
      cost_.statistics += least_seconds([&] { whole.add(inputs); }) / static_cast<double>(kRows);
    }
  }

  void measure_block_methods() {
    const Architecture whole = of_block(a_, block_);
    const std::int64_t divisor = (widest(whole) + kLargest - 1) / kLargest;
    const Architecture small = divisor > 1 ? divided(whole, divisor) : whole;
    const double scale =
        cube(static_cast<double>(widest(whole)) / static_cast<double>(widest(small)));
    for (const BlockStep& step : schedule_.block_steps()) {
      if (!schedule_.chosen(step.step, block_)) continue;
      Block block = random_block(small, block_, model_.dtype());
      std::map<StageInput, InputStatistics> inputs;
      for (const Stage stage : kStages) {
        if (small.roles(block_, stage).empty()) continue;
        const std::int64_t columns = small.in_features(block_, stage);
        InputStatistics& own =
            inputs.emplace(stage, InputStatistics(columns, step.needs)).first->second;
        own.add(random_values(2 * kRows, columns, 1.0F, 3));
      }
      const auto chosen = [&](LinearRole role) {
        return schedule_.chosen(step.step, block_, role);
      };
      cost_.block_methods +=
          scale * seconds_of([&] {
            step.method->transform({block_, small, block, inputs, chosen, model_.dtype()});
          });
    }
  }

  // One linear of a stage, as it is or made smaller.
  struct Shape2 {
    std::int64_t rows;
    std::int64_t columns;
  };

  bool fits(const std::vector<LinearStep>& steps, Shape2 shape) const {
    return std::ranges::all_of(steps, [&](const LinearStep& step) {
      try {
        step.method->check("", shape.rows, shape.columns);
        return true;
      } catch (const Error&) {
        return false;
      }
    });
  }

  // The least division of the columns that is small enough and that every step can take.
  std::int64_t fitting_columns(const StageInput& input) const {
    const std::int64_t columns = a_.in_features(block_, input.stage);
    for (std::int64_t divisor = (columns + kLargest - 1) / kLargest; divisor <= 16; ++divisor) {
      if (columns % divisor != 0) continue;
      const bool all = std::ranges::all_of(a_.readers(block_, input), [&](const LinearKey& key) {
        return fits(schedule_.linear_steps(block_, key),
                    {a_.out_features(block_, key.role), columns / divisor});
      });
      if (all) return columns / divisor;
    }
    return columns;
  }

  // What is done to the linears that read an input; of inputs that are alike one is measured.
  std::vector<const void*> signature(const StageInput& input) const {
    std::vector<const void*> methods;
    for (const LinearKey& key : a_.readers(block_, input)) {
      for (const LinearStep& step : schedule_.linear_steps(block_, key)) {
        methods.push_back(step.method.get());
      }
      methods.push_back(schedule_.pruned_before(block_, key) ? &schedule_ : nullptr);
    }
    return methods;
  }

  void measure_linears(Stage stage) {
    std::map<std::vector<const void*>, std::pair<std::int64_t, double>> measured;
    for (const StageInput& input : a_.inputs(block_, stage)) {
      const auto [found, is_new] = measured.try_emplace(signature(input), input.expert, 0.0);
      if (is_new) {
        found->second.second = measure_readers(input);
      } else {
        copy_change(found->second.first, input);
      }
      cost_.linear_methods += found->second.second;
    }
  }

  void copy_change(std::int64_t expert, const StageInput& input) {
    for (const LinearKey& key : a_.readers(block_, input)) {
      const auto found = cost_.change.find({key.role, expert});
      if (found != cost_.change.end()) cost_.change[key] = found->second;
    }
  }

  // Seconds of all steps on the linears that read an input.
  double measure_readers(const StageInput& input) {
    std::vector<LinearKey> keys;
    for (const LinearKey& key : a_.readers(block_, input)) {
      if (!schedule_.linear_steps(block_, key).empty()) keys.push_back(key);
    }
    if (keys.empty()) return 0;
    const std::int64_t columns = fitting_columns(input);
    const StatisticsNeeds needs = schedule_.statistics(block_, input);
    std::optional<InputStatistics> inputs;
    if (calibration_.tokens > 0) {
      inputs.emplace(columns, needs);
      const Matrix values = random_values(columns + kRows, columns, 1.0F, 4);
      inputs->add(values, values);
    }
    const double ratio =
        static_cast<double>(a_.in_features(block_, input.stage)) / static_cast<double>(columns);
    return measure_together(keys, columns, inputs ? &*inputs : nullptr,
                            needs.second_moments && inputs ? ratio * ratio : ratio);
  }

  double measure_together(const std::vector<LinearKey>& keys, std::int64_t columns,
                          const InputStatistics* inputs, double time_scale) {
    std::vector<Matrix> weights;
    double rows_before = 0;
    double rows_now = 0;
    for (const LinearKey& key : keys) {
      const std::int64_t rows = std::min(a_.out_features(block_, key.role), kLargest);
      weights.push_back(random_values(rows, columns, 0.05F, 5 + weights.size()));
      // How much an earlier pass pruned is not known here: every other weight stands for it.
      if (schedule_.pruned_before(block_, key)) {
        for (std::int64_t c = 0; c < columns; c += 2) weights.back().col(c).setZero();
      }
      rows_before += static_cast<double>(a_.out_features(block_, key.role));
      rows_now += static_cast<double>(rows);
    }
    std::vector<BlockResult> results;
    const double seconds = least_seconds([&] { results = apply(keys, weights, inputs); });
    for (std::size_t i = 0; i < keys.size(); ++i) {
      double bytes = 0;
      for (const NamedTensor& tensor : results[i].tensors) {
        bytes += static_cast<double>(tensor.tensor.bytes().size());
      }
      const std::vector<LinearStep>& steps = schedule_.linear_steps(block_, keys[i]);
      const std::int64_t rows = a_.out_features(block_, keys[i].role);
      const std::int64_t inputs_of_role = a_.in_features(block_, keys[i].role);
      const double scale = elements_left(steps, rows, inputs_of_role) /
                           elements_left(steps, weights[i].rows(), columns);
      cost_.change[keys[i]] = bytes * scale - static_cast<double>(rows * inputs_of_role) *
                                                  static_cast<double>(dtype_size(model_.dtype()));
    }
    return seconds * time_scale * rows_before / rows_now;
  }

  // What is stored of each linear.
  std::vector<BlockResult> apply(const std::vector<LinearKey>& keys,
                                 const std::vector<Matrix>& weights,
                                 const InputStatistics* inputs) const {
    std::vector<LinearInWork> works;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      works.push_back(
          {std::string(role_name(keys[i].role)), keys[i], &schedule_.linear_steps(block_, keys[i]),
           0, weights[i], schedule_.pruned_before(block_, keys[i]),
           [&weight = weights[i]](ImportanceScore) { return Matrix(weight.cwiseAbs()); }});
    }
    apply_steps(works, inputs);
    std::vector<BlockResult> results(works.size());
    for (std::size_t i = 0; i < works.size(); ++i) {
      const auto weight = store_linear({works[i].module, weights[i], std::move(works[i].result),
                                        works[i].pruned, model_.dtype(), a_.conv1d},
                                       output_, inputs, results[i]);
      if (calibration_.tokens > 0) weight->prepare();
    }
    return results;
  }

  Model& model_;
  const Architecture& a_;
  const Schedule& schedule_;
  const OutputSettings& output_;
  CalibrationSize calibration_;
  std::int64_t block_;
  BlockCost cost_;
};

}  // namespace

BlockCost measure_block(Model& model, const Schedule& schedule, const OutputSettings& output,
                        const CalibrationSize& calibration, std::int64_t block) {
  return Measurement(model, schedule, output, calibration, block).run();
}

double measure_writing() {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("terse-" + std::to_string(::getpid()) + ".measure");
  const std::vector<std::byte> bytes(kWrittenBytes, std::byte{1});
  const double seconds = seconds_of([&] {
    FileWriter writer(path);
    writer.write(bytes);
    writer.commit();
  });
  std::filesystem::remove(path);
  return static_cast<double>(kWrittenBytes) / seconds;
}

}  // namespace terse
