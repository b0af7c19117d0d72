#include "terse/recipe/calibration_stream.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <span>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/threads.h"
#include "terse/model/routes.h"

namespace terse {
namespace {

constexpr std::int64_t kGroupRows = 2048;
constexpr int kEnd = 4;  // after the last stage

void require_finite(const Matrix& input, std::int64_t block, Stage stage) {
  constexpr std::int64_t kRowTile = 64;
  std::atomic<bool> finite = true;
  parallel_tiles(input.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
    const auto rows = input.middleRows(first, count);
    if (!all_finite(std::span(rows.data(), static_cast<std::size_t>(rows.size())))) finite = false;
  });
  if (finite) return;
  static constexpr std::array<std::string_view, 4> kNames{"attention", "attention output", "MLP",
                                                          "MLP output"};
  throw ActivationsNotFinite(failure(
      "block {}: the input of the {} linears holds NaN or infinity; the weights before it are "
      "damaged "
      "or overflow",
      block, kNames[static_cast<std::size_t>(stage)]));
}

std::vector<Batch> cut_batches(const CalibrationTokens& tokens,
                               std::vector<KeyValueCache>& caches) {
  std::vector<Batch> batches;
  for (std::size_t i = 0; i < tokens.windows.size(); ++i) {
    const std::size_t place = i % caches.size();
    if (place == 0) batches.emplace_back();
    batches.back().add(caches[place], tokens.windows[i]);
  }
  return batches;
}

std::vector<KeyValueCache> make_caches(const Model& model, const CalibrationTokens& tokens) {
  std::vector<KeyValueCache> caches;
  const auto windows = static_cast<std::int64_t>(tokens.windows.size());
  for (std::int64_t i = 0; i < std::min(windows_per_group(tokens.window), windows); ++i) {
    caches.emplace_back(model.architecture(), tokens.window, false);
  }
  return caches;
}

}  // namespace

std::int64_t windows_per_group(std::int64_t window) {
  return std::max<std::int64_t>(1, kGroupRows / window);
}

std::int64_t group_count(std::int64_t tokens, std::int64_t window) {
  const std::int64_t per_group = windows_per_group(window);
  return (tokens / window + per_group - 1) / per_group;
}

std::int64_t group_values(const Architecture& architecture, std::int64_t window) {
  std::int64_t widest = 0;
  for (std::int64_t block = 0; block < architecture.num_hidden_layers; ++block) {
    for (const Stage stage : kStages) {
      const std::int64_t inputs = architecture.in_features(block, stage);
      widest = std::max(widest, architecture.stacked(block, stage) * inputs +
                                    architecture.shape(block).num_experts);
    }
  }
  return windows_per_group(window) * window * (architecture.hidden_size + widest);
}

CalibrationStream::CalibrationStream(const Model& model, const CalibrationTokens& tokens,
                                     std::uint64_t memory, const std::filesystem::path& directory)
    : model_(model),
      tokens_(tokens.tokens()),
      windows_(static_cast<std::int64_t>(tokens.windows.size())),
      caches_(make_caches(model, tokens)),
      batches_(cut_batches(tokens, caches_)),
      store_(groups(), {group_values(model.architecture(), tokens.window), memory, directory}) {}

void CalibrationStream::start() {
  for (std::int64_t g = 0; g < groups(); ++g) {
    CpuOperations operations(model_, batches_[static_cast<std::size_t>(g)]);
    store_.put(g, {Forward(model_.architecture(), operations).embed(), {}});
  }
  stage_ = -1;
}

std::string CalibrationStream::save(const std::filesystem::path& path) const {
  FileWriter writer(path);
  for (std::int64_t g = 0; g < groups(); ++g) {
    const Matrix residual = store_.residual(g);
    writer.write(
        std::as_bytes(std::span(residual.data(), static_cast<std::size_t>(residual.size()))));
  }
  return writer.commit();
}

void CalibrationStream::load(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const std::int64_t hidden = model_.architecture().hidden_size;
  if (file->bytes().size() != static_cast<std::size_t>(tokens_ * hidden) * sizeof(float)) {
    throw bad_input("{}: holds {} bytes, which are not the activations of {} tokens", path.string(),
                    file->bytes().size(), tokens_);
  }
  std::span<const std::byte> rest = file->bytes();
  for (std::int64_t g = 0; g < groups(); ++g) {
    const auto rows =
        static_cast<std::int64_t>(batches_[static_cast<std::size_t>(g)].tokens.size());
    Matrix residual(rows, hidden);
    const auto bytes = rest.first(static_cast<std::size_t>(residual.size()) * sizeof(float));
    std::memcpy(residual.data(), bytes.data(), bytes.size());
    store_.put(g, {std::move(residual), {}});
    file->drop_pages(bytes);
    rest = rest.subspan(bytes.size());
  }
  stage_ = -1;
}

void CalibrationStream::advance_to(State& state, const Batch& batch, std::int64_t block,
                                   int stage) {
  CpuOperations operations(model_, batch);
  Forward forward(model_.architecture(), operations);
  for (int done = stage_; done < stage; ++done) {
    state = done < 0 ? forward.begin(block, std::move(state.residual))
                     : forward.advance(block, kStages[done], std::move(state));
  }
}

CalibrationStream::State CalibrationStream::take_advanced(std::int64_t group, std::int64_t block,
                                                          Stage stage) {
  Activations activations = store_.take(group);
  State state{std::move(activations.residual), std::move(activations.input),
              std::move(activations.routes)};
  advance_to(state, batches_[static_cast<std::size_t>(group)], block, static_cast<int>(stage));
  require_finite(state.input, block, stage);
  return state;
}

void CalibrationStream::put_back(std::int64_t group, State state) {
  store_.put(group, {std::move(state.residual), std::move(state.input), std::move(state.routes)});
}

void CalibrationStream::show(std::int64_t block, Stage stage, const State& state,
                             const InputVisitor& visitor) const {
  const std::vector<StageInput> inputs = model_.architecture().inputs(block, stage);
  if (!inputs.empty() && inputs.front().expert == kNoExpert) {
    visitor(inputs.front(), state.input);
    return;
  }
  const RoutedRows rows(state.routes);
  for (const StageInput& input : inputs) {
    const std::int64_t count = rows.count(input.expert);
    if (count > 0) visitor(input, state.input.middleRows(rows.first(input.expert), count));
  }
}

void CalibrationStream::visit(std::int64_t block, Stage stage, const InputVisitor& visitor) {
  for (std::int64_t g = 0; g < groups(); ++g) {
    State state = take_advanced(g, block, stage);
    show(block, stage, state, visitor);
    put_back(g, std::move(state));
  }
  stage_ = static_cast<int>(stage);
}

void CalibrationStream::visit_beside(CalibrationStream& other, std::int64_t block, Stage stage,
                                     const PairVisitor& visitor) {
  for (std::int64_t g = 0; g < groups(); ++g) {
    State state = take_advanced(g, block, stage);
    State before = other.take_advanced(g, block, stage);
    visitor(state.input, before.input);
    put_back(g, std::move(state));
    other.put_back(g, std::move(before));
  }
  stage_ = other.stage_ = static_cast<int>(stage);
}

// One group through the stages of a block, without leaving its place in the stream.
class CalibrationStream::GroupWalk {
 public:
  GroupWalk(const CalibrationStream& stream, std::int64_t block, std::int64_t group)
      : block_(block),
        operations_(stream.model_, stream.batches_[static_cast<std::size_t>(group)]),
        forward_(stream.model_.architecture(), operations_),
        state_(forward_.begin(block, stream.store_.residual(group))) {}

  // Stages come in their order.
  const State& before(Stage stage) {
    if (stage != Stage::attention_input) {
      state_ = forward_.advance(block_, kStages[static_cast<int>(stage) - 1], std::move(state_));
    }
    require_finite(state_.input, block_, stage);
    return state_;
  }

  Matrix output() {
    for (const Stage stage : kStages) state_ = forward_.advance(block_, stage, std::move(state_));
    return std::move(state_.residual);
  }

 private:
  std::int64_t block_;
  CpuOperations operations_;
  Forward<CpuOperations> forward_;
  State state_;
};

std::map<StageInput, InputStatistics> CalibrationStream::statistics(
    std::int64_t block, const NeedsOfInput& needs, const CalibrationStream* other) {
  const Architecture& a = model_.architecture();
  std::map<StageInput, InputStatistics> statistics;
  for (const Stage stage : kStages) {
    for (const StageInput& input : a.inputs(block, stage)) {
      statistics.emplace(input, InputStatistics(a.in_features(block, stage), needs(input)));
    }
  }
  for (std::int64_t g = 0; g < groups(); ++g) {
    GroupWalk own(*this, block, g);
    std::optional<GroupWalk> before;
    if (other != nullptr) before.emplace(*other, block, g);
    for (const Stage stage : kStages) {
      const State& state = own.before(stage);
      const State* state_before = before ? &before->before(stage) : nullptr;
      if (a.inputs(block, stage).empty()) continue;
      if (state_before != nullptr) {
        statistics.at(stage).add(state.input, state_before->input);
        continue;
      }
      show(block, stage, state,
           [&](const StageInput& of, ConstMatrixRef input) { statistics.at(of).add(input); });
    }
  }
  return statistics;
}

void CalibrationStream::visit_output(std::int64_t block, const OutputVisitor& visitor) const {
  for (std::int64_t g = 0; g < groups(); ++g) visitor(GroupWalk(*this, block, g).output());
}

Matrix CalibrationStream::block_input(std::int64_t window) const {
  const auto together = static_cast<std::int64_t>(caches_.size());
  const std::int64_t length = tokens_ / windows_;
  return store_.residual(window / together).middleRows(window % together * length, length);
}

void CalibrationStream::finish(std::int64_t block, const BlockVisitor& visitor) {
  for (std::int64_t g = 0; g < groups(); ++g) {
    const Matrix before = store_.take(g).residual;
    State state{before, {}};
    advance_to(state, batches_[static_cast<std::size_t>(g)], block, kEnd);
    visitor(before, state.residual);
    store_.put(g, {std::move(state.residual), {}});
  }
}

void CalibrationStream::finish(std::int64_t block) {
  for (std::int64_t g = 0; g < groups(); ++g) {
    Activations activations = store_.take(g);
    State state{std::move(activations.residual), std::move(activations.input),
                std::move(activations.routes)};
    advance_to(state, batches_[static_cast<std::size_t>(g)], block, kEnd);
    store_.put(g, {std::move(state.residual), {}});
  }
  stage_ = -1;
}

}  // namespace terse
