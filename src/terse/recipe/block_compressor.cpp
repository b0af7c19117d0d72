#include "terse/recipe/block_compressor.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/free_memory.h"
#include "terse/core/threads.h"
#include "terse/methods/output_error.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/storage.h"

namespace terse {
namespace {

constexpr std::int64_t kRowTile = 64;
constexpr std::int64_t kUnitRows = 512;

// What the results stand for: real numbers or codes, sparse where something was pruned, or a weight
// of several matrices of these kinds.
std::unique_ptr<Weight> make_weight(LinearResult result, DType dtype, bool smallest,
                                    bool transposed) {
  if (auto* codes = std::get_if<QuantizedMatrix>(&result)) {
    return smallest ? smallest_weight(std::move(*codes)) : plain_weight(std::move(*codes));
  }
  if (const auto* values = std::get_if<Matrix>(&result)) {
    return smallest ? smallest_weight(*values, dtype, transposed)
                    : plain_weight(*values, dtype, transposed);
  }
  const auto store = [&](LinearResult part) {
    return make_weight(std::move(part), dtype, smallest, false);
  };
  return std::get<std::shared_ptr<CompoundResult>>(result)->weight(store, dtype);
}

void append(std::vector<NamedTensor>& all, std::vector<NamedTensor> more) {
  std::move(more.begin(), more.end(), std::back_inserter(all));
}

// A matrix that a step works on: the weight of a linear, or a part of one.
struct Piece {
  LinearInWork* work;
  ResultPart part;
};

std::vector<Piece> pieces_of(LinearInWork& work) {
  auto* compound = std::get_if<std::shared_ptr<CompoundResult>>(&work.result);
  if (compound == nullptr) return {{&work, {"", &work.result}}};
  std::vector<Piece> pieces;
  for (ResultPart& part : (*compound)->parts()) pieces.push_back({&work, std::move(part)});
  return pieces;
}

void apply_method(const LinearMethod& method, std::span<Piece* const> pieces,
                  const InputStatistics* inputs) {
  std::vector<LinearProblem> problems;
  for (const Piece* piece : pieces) {
    const LinearInWork& work = *piece->work;
    problems.push_back({work.module + piece->part.suffix,
                        std::move(std::get<Matrix>(*piece->part.result)), inputs, work.pruned,
                        work.key.role});
    if (const auto score = method.importance())
      problems.back().importance = work.importance(*score);
  }
  std::vector<LinearResult> results = method.compress_all(std::move(problems));
  for (std::size_t i = 0; i < pieces.size(); ++i) *pieces[i]->part.result = std::move(results[i]);
}

// One method on all linears that it is for: first on all that read the same input, then on parts
// whose inputs come from the parts before them.
void apply_method(const LinearStep& step, std::span<LinearInWork* const> group,
                  const InputStatistics* inputs) {
  std::vector<Piece> pieces;
  for (LinearInWork* work : group) std::ranges::move(pieces_of(*work), std::back_inserter(pieces));
  std::vector<Piece*> together;
  for (Piece& piece : pieces) {
    if (!piece.part.inputs) together.push_back(&piece);
  }
  apply_method(*step.method, together, inputs);
  for (Piece& piece : pieces) {
    if (!piece.part.inputs) continue;
    std::optional<InputStatistics> own;
    if (inputs != nullptr && step.needs().any()) own = piece.part.inputs(*inputs);
    Piece* alone[] = {&piece};
    apply_method(*step.method, alone, own ? &*own : nullptr);
  }
}

// One step on all linears that it is for.
void apply_step(std::vector<LinearInWork>& works, std::size_t step, const InputStatistics* inputs) {
  std::map<const LinearMethod*, std::vector<LinearInWork*>> together;
  for (LinearInWork& work : works) {
    if (work.done < work.steps->size() && (*work.steps)[work.done].step == step) {
      together[(*work.steps)[work.done].method.get()].push_back(&work);
    }
  }
  for (const auto& [method, group] : together) {
    const LinearStep& linear_step = (*group.front()->steps)[group.front()->done];
    apply_method(linear_step, group, inputs);
    for (LinearInWork* work : group) {
      work->pruned = work->pruned || linear_step.info->category == "prune";
      ++work->done;
    }
  }
}

}  // namespace

double relative_weight_error(const Matrix& weight, const Matrix& compressed) {
  const double norm =
      parallel_sum(weight.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
        return weight.middleRows(first, count).cast<double>().squaredNorm();
      });
  const double error =
      parallel_sum(weight.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
        return (weight.middleRows(first, count) - compressed.middleRows(first, count))
            .cast<double>()
            .squaredNorm();
      });
  return norm > 0 ? error / norm : 0.0;
}

double share_of_zeros(const Matrix& weight) {
  const double zeros =
      parallel_sum(weight.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
        return static_cast<double>((weight.middleRows(first, count).array() == 0.0F).count());
      });
  return weight.size() == 0 ? 0.0 : zeros / static_cast<double>(weight.size());
}

std::unique_ptr<Weight> store_linear(CompressedLinear linear, const OutputSettings& settings,
                                     const InputStatistics* inputs, BlockResult& out) {
  const bool rounds = settings.dequantize && !std::holds_alternative<Matrix>(linear.result);
  // What dense programs read is dense, but zeros may be left out of real numbers only when asked.
  const SparseStorage sparse = settings.dequantize ? SparseStorage::dense : settings.sparse;
  std::unique_ptr<Weight> weight =
      make_weight(std::move(linear.result), linear.dtype,
                  linear.pruned && sparse == SparseStorage::smallest, linear.transposed);
  const Matrix after = weight->dense();
  LinearReport report{linear.module, weight->kind(), relative_weight_error(linear.before, after)};
  if (inputs != nullptr && inputs->needs().second_moments) {
    report.relative_output_error = relative_output_error(linear.before, after, inputs->moments());
  }
  if (linear.pruned) report.sparsity = share_of_zeros(after);
  if (rounds) {
    const auto plain = plain_weight(after, linear.dtype, linear.transposed);
    report.kind = plain->kind();
    append(out.tensors, plain->tensors(linear.module));
    append(out.exact_tensors, weight->tensors(linear.module));
    out.exact_storage[linear.module] = weight->config();
  } else {
    report.storage = weight->config();
    append(out.tensors, weight->tensors(linear.module));
  }
  out.linears.push_back(std::move(report));
  return weight;
}

void add_unit_inputs(InputStatistics& inputs) {
  for (std::int64_t first = 0; first < inputs.columns(); first += kUnitRows) {
    const std::int64_t rows = std::min(kUnitRows, inputs.columns() - first);
    Matrix units = Matrix::Zero(rows, inputs.columns());
    units.middleCols(first, rows).setIdentity();
    inputs.add(units);
  }
}

void apply_steps(std::vector<LinearInWork>& works, const InputStatistics* inputs) {
  std::set<std::size_t> order;
  for (const LinearInWork& work : works) {
    for (const LinearStep& step : *work.steps) order.insert(step.step);
  }
  for (const std::size_t step : order) apply_step(works, step, inputs);
}

std::vector<LinearInWork> linears_in_work(const Model& model, const Schedule& schedule,
                                          std::int64_t block, const StageInput& input) {
  std::vector<LinearInWork> works;
  for (const LinearKey& key : model.architecture().readers(block, input)) {
    const std::vector<LinearStep>& steps = schedule.linear_steps(block, key);
    if (steps.empty()) continue;
    const Linear& linear = model.block(block).linears.at(key);
    works.push_back({linear.module, key, &steps, 0, linear.weight->dense(),
                     schedule.pruned_before(block, key)});
  }
  return works;
}

void replace_linear(const Model& model, Linear& linear, LinearInWork work,
                    const OutputSettings& settings, const InputStatistics* inputs,
                    BlockResult& out) {
  CompressedLinear compressed{linear.module,
                              linear.weight->dense(),
                              std::move(work.result),
                              work.pruned,
                              model.stored_dtype(linear.module + ".weight"),
                              model.architecture().conv1d};
  linear.weight = store_linear(std::move(compressed), settings, inputs, out);
}

BlockCompressor::BlockCompressor(Model& model, const Schedule& schedule, CalibrationStream* stream,
                                 bool true_sequential, const OutputSettings& output,
                                 Progress& progress, const ImportanceScores* importance,
                                 std::unique_ptr<ReferenceStream> reference)
    : model_(model),
      schedule_(schedule),
      stream_(stream),
      true_sequential_(true_sequential),
      output_(output),
      progress_(progress),
      importance_(importance),
      reference_(std::move(reference)) {}

// Each block method sees the block as those before it left it.
void BlockCompressor::transform(std::int64_t block, BlockResult& result) {
  for (const BlockStep& step : schedule_.block_steps()) {
    if (!schedule_.chosen(step.step, block)) continue;
    const auto statistics =
        stream_->statistics(block, [&](const StageInput&) { return step.needs; });
    const auto reports = step.method->transform(
        {.index = block,
         .architecture = model_.architecture(),
         .block = model_.block(block),
         .inputs = statistics,
         .chosen = [&](LinearRole role) { return schedule_.chosen(step.step, block, role); },
         .vector_dtype = model_.dtype()});
    for (const BlockReport& report : reports) {
      if (report.skipped) {
        result.notes.push_back(
            fmt::format("{}: {}: {}", step.info->name, report.place, report.outcome));
      }
    }
    for (auto& entry : model_.block(block).linears) entry.second.weight->prepare();
  }
}

BlockResult BlockCompressor::compress(std::int64_t block) {
  BlockResult result;
  Block before;
  before.norms = model_.block(block).norms;
  loaded_.clear();
  for (const auto& [key, linear] : model_.block(block).linears) {
    loaded_[key] = linear.weight.get();
    before.linears[key].bias = linear.bias;
  }
  transform(block, result);
  store_vectors(block, before, result);
  compress_stages(block, result);
  return result;
}

void BlockCompressor::compress_stages(std::int64_t block, BlockResult& result) {
  const bool beside = reference_ != nullptr && schedule_.shifts(block);
  if (beside) reference_->enter(block);
  if (stream_ != nullptr && !true_sequential_) {
    const auto needs = [&](const StageInput& input) { return schedule_.statistics(block, input); };
    statistics_ = stream_->statistics(block, needs, beside ? &reference_->stream() : nullptr);
  }
  for (const Stage stage : kStages) {
    const std::vector<StageInput> inputs = model_.architecture().inputs(block, stage);
    if (inputs.empty()) continue;
    if (stream_ != nullptr && true_sequential_) {
      add_stage_statistics(block, stage, beside);
      // What passed through leaves holes that solving cannot use, and the other way round.
      release_free_memory();
    }
    for (const StageInput& input : inputs) {
      if (stream_ != nullptr) stand_in(block, input, result);
      compress_readers(block, input, result);
      statistics_.erase(input);
      release_free_memory();
    }
  }
  if (beside) reference_->leave();
}

void BlockCompressor::add_stage_statistics(std::int64_t block, Stage stage, bool beside) {
  const Architecture& a = model_.architecture();
  for (const StageInput& input : a.inputs(block, stage)) {
    statistics_.emplace(
        input, InputStatistics(a.in_features(block, stage), schedule_.statistics(block, input)));
  }
  if (beside) {
    stream_->visit_beside(
        reference_->stream(), block, stage,
        [&](const Matrix& x, const Matrix& before) { statistics_.at(stage).add(x, before); });
  } else {
    stream_->visit(block, stage,
                   [&](const StageInput& of, ConstMatrixRef x) { statistics_.at(of).add(x); });
  }
}

void BlockCompressor::stand_in(std::int64_t block, const StageInput& input, BlockResult& result) {
  InputStatistics& inputs = statistics_.at(input);
  if (inputs.tokens() > 0 || input.expert == kNoExpert) return;
  const std::string module =
      model_.linear_module(block, model_.architecture().readers(block, input).front());
  if (inputs.needs().ranges) {
    throw failure(
        "{}: no calibration token was sent to this expert, so that the range of its "
        "inputs is not known; calibrate on more text",
        module);
  }
  add_unit_inputs(inputs);
  if (input.stage != Stage::mlp_input || !schedule_.needs(block, input).any()) return;
  result.notes.push_back(fmt::format(
      "{}: no calibration token was sent to this expert: it is compressed as if its inputs were "
      "all alike; calibrate on more text",
      module));
}

void BlockCompressor::compress_readers(std::int64_t block, const StageInput& input,
                                       BlockResult& result) {
  const InputStatistics* inputs = stream_ != nullptr ? &statistics_.at(input) : nullptr;
  std::vector<LinearInWork> works = linears_in_work(model_, schedule_, block, input);
  progress_.advance(static_cast<std::int64_t>(model_.architecture().readers(block, input).size()));
  for (LinearInWork& work : works) {
    work.importance = [this, &module = work.module](ImportanceScore score) {
      return importance_->read(module, score);
    };
  }
  apply_steps(works, inputs);
  for (LinearInWork& work : works) {
    Linear& linear = model_.block(block).linears.at(work.key);
    replace_linear(model_, linear, std::move(work), output_, inputs, result);
    if (stream_ != nullptr) with_context(linear.module, [&] { linear.weight->prepare(); });
  }
  store_scaled(block, input, result);
}

// What a block method changed and no linear step is for: in the type of the checkpoint.
void BlockCompressor::store_scaled(std::int64_t block, const StageInput& input,
                                   BlockResult& result) const {
  for (const LinearKey& key : model_.architecture().readers(block, input)) {
    Linear& linear = model_.block(block).linears.at(key);
    if (!schedule_.linear_steps(block, key).empty() || linear.weight.get() == loaded_.at(key)) {
      continue;
    }
    linear.weight =
        plain_weight(linear.weight->dense(), model_.stored_dtype(linear.module + ".weight"),
                     model_.architecture().conv1d);
    append(result.tensors, linear.weight->tensors(linear.module));
    if (stream_ != nullptr) linear.weight->prepare();
  }
}

// Vectors that a block method changed, as their stored type holds them.
void BlockCompressor::store_vectors(std::int64_t block, const Block& before, BlockResult& result) {
  const auto store = [&](const std::string& name, const Vector& was, Vector& is) {
    if (is.size() == 0 || (was.size() == is.size() && was == is)) return;
    const Tensor tensor = Tensor::from_vector(model_.stored_dtype(name), is);
    const std::vector<float> rounded = tensor.to_floats();
    std::ranges::copy(rounded, is.data());
    result.tensors.push_back({name, tensor});
  };
  for (auto& [key, linear] : model_.block(block).linears) {
    store(linear.module + ".bias", before.linears.at(key).bias, linear.bias);
  }
  for (auto& [role, norm] : model_.block(block).norms) {
    const std::string module = model_.norm_module(block, role);
    store(module + ".weight", before.norms.at(role).weight, norm.weight);
    store(module + ".bias", before.norms.at(role).bias, norm.bias);
  }
}

}  // namespace terse
