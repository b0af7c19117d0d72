#include "terse/search/laboratory.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/core/unless_refused.h"
#include "terse/eval/divergence.h"
#include "terse/kernels/vector_math.h"
#include "terse/model/inventory.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/block_reconstructor.h"
#include "terse/search/embeddings_model.h"

namespace terse {
namespace {

// Bytes of logits of the dense model that are held, not computed again for each trial.
constexpr double kHeldLogits = 512e6;
constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

// The linear of a unit that is measured.
const LinearPlace& measured_place(const Unit& unit) {
  return unit.places[unit.measured];
}

std::int64_t block_of(const Trial& trial) {
  return measured_place(*trial.unit).block;
}

std::uint64_t bytes_of(const std::vector<NamedTensor>& tensors) {
  std::uint64_t bytes = 0;
  for (const NamedTensor& tensor : tensors) bytes += tensor.tensor.bytes().size();
  return bytes;
}

}  // namespace

Laboratory::Laboratory(const Checkpoint& checkpoint, Windows windows, CalibrationTokens tokens,
                       std::filesystem::path folder)
    : checkpoint_(std::make_shared<const Checkpoint>(checkpoint)),
      windows_(std::move(windows)),
      tokens_(std::move(tokens)),
      folder_(std::move(folder)),
      dense_(std::make_unique<Model>(checkpoint_)),
      changed_(std::make_unique<Model>(checkpoint_)) {
  dense_->load_all();
  changed_->load_head();
  for (std::int64_t block = 0; block < dense_->architecture().num_hidden_layers; ++block) {
    changed_->block(block) = dense_->block(block);
  }
  for (const Window& window : windows_.windows) {
    positions_.push_back(static_cast<double>(window.end - window.score_from));
  }
  make_groups();
  hold_logits();
}

void Laboratory::make_groups() {
  for (const auto& [first, last] : group_windows(windows_)) {
    Group& group = groups_.emplace_back(Group{first, last, {}, {}, {}, {}, {}});
    for (std::size_t i = first; i < last; ++i) {
      const Window& window = windows_.windows[i];
      group.caches.emplace_back(dense_->architecture(), window.end - window.begin, false);
    }
    for (std::size_t i = first; i < last; ++i) {
      group.dense.first_row.push_back(static_cast<std::int64_t>(group.batch.tokens.size()));
      group.batch.add(group.caches[i - first], windows_.tokens(windows_.windows[i]));
    }
    CpuOperations operations(*dense_, group.batch);
    Forward forward(dense_->architecture(), operations);
    Matrix x = forward.embed();
    for (std::int64_t block = 0; block < dense_->architecture().num_hidden_layers; ++block) {
      group.entries.push_back(x);
      x = forward.block(block, std::move(x));
    }
    group.dense.rows = forward.finish(std::move(x));
  }
}

void Laboratory::hold_logits() {
  const double values = std::accumulate(positions_.begin(), positions_.end(), 0.0) *
                        static_cast<double>(dense_->architecture().vocab_size);
  if (sizeof(float) * values > kHeldLogits) return;
  for (Group& group : groups_) {
    for (const ScoredRows& rows : scored_rows(windows_, group.dense, group.first, group.last)) {
      group.logits.push_back(logits_of(*dense_, group.dense.rows, rows.first_row,
                                       static_cast<std::int64_t>(rows.targets.size())));
    }
  }
}

std::vector<double> Laboratory::kl_of_block(const std::vector<RecipeStep>& steps,
                                            std::int64_t block) {
  const Schedule schedule(*changed_, steps, tokens_.tokens());
  CalibrationStream stream(*changed_, tokens_, kNoLimit, folder_);
  stream.start();
  for (std::int64_t before = 0; before < block; ++before) stream.finish(before);
  Progress quiet;
  if (schedule.reconstruction() == nullptr) {
    BlockCompressor(*changed_, schedule, &stream, true, {}, quiet).compress(block);
  } else {
    BlockReconstructor(*changed_, Model(checkpoint_), schedule, stream, tokens_, kNoLimit, folder_,
                       {}, quiet)
        .compress(block);
  }
  std::vector<double> window_kl = kl_from(*changed_, block);
  changed_->block(block) = dense_->block(block);
  return window_kl;
}

std::vector<double> Laboratory::kl_without(std::int64_t block) {
  return kl_of_path(*dense_, block, [&](std::int64_t each) { return each != block; });
}

std::vector<double> Laboratory::kl_from(const Model& model, std::int64_t block) {
  return kl_of_path(model, block, [](std::int64_t) { return true; });
}

// Runs the states in front of a block through `model` from there on, through blocks that `passes`
// says; -1 begins with its embedding.
std::vector<double> Laboratory::kl_of_path(const Model& model, std::int64_t block,
                                           const std::function<bool(std::int64_t)>& passes) {
  const Architecture& a = dense_->architecture();
  std::vector<double> window_kl(windows_.windows.size());
  for (const Group& group : groups_) {
    CpuOperations operations(model, group.batch);
    Forward forward(a, operations);
    Matrix x = block < 0 ? forward.embed() : group.entries[static_cast<std::size_t>(block)];
    for (std::int64_t i = std::max<std::int64_t>(block, 0); i < a.num_hidden_layers; ++i) {
      if (passes(i)) x = forward.block(i, std::move(x));
    }
    add_kl(group, model, forward.finish(std::move(x)), window_kl);
  }
  return window_kl;
}

void Laboratory::add_kl(const Group& group, const Model& model, Matrix hidden,
                        std::vector<double>& window_kl) const {
  const HiddenStates states{std::move(hidden), group.dense.first_row};
  const std::int64_t size = dense_->architecture().vocab_size;
  std::size_t stretch = 0;
  for (const ScoredRows& rows : scored_rows(windows_, states, group.first, group.last)) {
    const auto count = static_cast<std::int64_t>(rows.targets.size());
    Matrix p = group.logits.empty() ? logits_of(*dense_, group.dense.rows, rows.first_row, count)
                                    : group.logits[stretch++];
    const Matrix q = logits_of(model, states.rows, rows.first_row, count);
    std::vector<double> kl(rows.targets.size());
    parallel_for(count, [&](std::int64_t r) {
      const double p_sum = kernels::log_sum_exp(p.row(r).data(), size);
      const double q_sum = kernels::log_sum_exp(q.row(r).data(), size);
      kl[static_cast<std::size_t>(r)] =
          kl_of_logits(p.row(r).data(), p_sum, q.row(r).data(), q_sum, size);
    });
    for (const double value : kl) window_kl[rows.window] += value;
  }
}

const Schedule& Laboratory::schedule_of(const Choice& choice, LinearRole role) {
  const auto key = std::pair(choice.name, role);
  const auto found = schedules_.find(key);
  if (found != schedules_.end()) return found->second;
  return schedules_.emplace(key, Schedule(*dense_, steps_for(role, choice), tokens_.tokens()))
      .first->second;
}

bool Laboratory::fits(const Unit& unit, const Choice& choice) {
  if (unit.is_embeddings() || choice.steps.empty()) return true;
  return unless_refused([&] { return &schedule_of(choice, measured_place(unit).role); })
      .has_value();
}

Sizes Laboratory::dense_sizes(const Unit& unit) const {
  if (unit.is_embeddings()) return {embeddings_bytes(*dense_), held_by_head(*dense_)};
  Sizes sum;
  for (const LinearPlace& place : unit.places) {
    const Sizes sizes = dense_sizes(place);
    sum.stored += sizes.stored;
    sum.held += sizes.held;
  }
  return sum;
}

Sizes Laboratory::dense_sizes(const LinearPlace& place) const {
  return {stored_bytes(*checkpoint_, place.module + ".weight"),
          dense_->block(place.block).linears.at(place.role).weight->cost().bytes};
}

StatisticsNeeds Laboratory::needs_of(std::span<const Trial> trials, std::int64_t block,
                                     Stage stage) {
  StatisticsNeeds needs;
  for (const Trial& trial : trials) {
    if (trial.unit->is_embeddings()) continue;
    const LinearPlace& place = measured_place(*trial.unit);
    if (place.block != block || stage_of(place.role) != stage) continue;
    needs |= schedule_of(*trial.choice, place.role).needs(block, stage);
  }
  return needs;
}

void Laboratory::measure(std::span<const Trial> trials,
                         const std::function<bool(std::size_t, const Effect&)>& told) {
  std::map<std::int64_t, std::vector<std::size_t>> by_block;
  for (std::size_t i = 0; i < trials.size(); ++i) {
    if (!trials[i].unit->is_embeddings()) {
      by_block[block_of(trials[i])].push_back(i);
    } else if (!told(i, measure_embeddings(trials[i]))) {
      return;
    }
  }
  if (by_block.empty()) return;
  CalibrationStream stream(*dense_, tokens_, kNoLimit, folder_);
  stream.start();
  const std::int64_t last = by_block.rbegin()->first;
  for (std::int64_t block = 0; block <= last; ++block) {
    if (const auto found = by_block.find(block); found != by_block.end()) {
      const auto needs = [&](const StageInput& input) {
        return needs_of(trials, block, input.stage);
      };
      // The model is dense up to here: what linears read is what they always read.
      const bool beside =
          std::ranges::any_of(kStages, [&](Stage stage) { return needs(stage).shift; });
      const auto inputs = stream.statistics(block, needs, beside ? &stream : nullptr);
      for (const std::size_t i : found->second) {
        const Stage stage = stage_of(measured_place(*trials[i].unit).role);
        if (!told(i, measure_linear(trials[i], &inputs.at(stage)))) return;
      }
    }
    if (block < last) stream.finish(block);
  }
}

Effect Laboratory::measure_embeddings(const Trial& trial) {
  Recipe recipe;
  recipe.steps = trial.choice->steps;
  recipe.output.embeddings_bits = trial.choice->embeddings_bits;
  EmbeddingsModel changed(*dense_, recipe, folder_ / "embeddings.safetensors");
  for (std::int64_t block = 0; block < dense_->architecture().num_hidden_layers; ++block) {
    changed.model.block(block) = dense_->block(block);
  }
  return {{changed.bytes, held_by_head(changed.model)}, kl_from(changed.model, -1)};
}

Effect Laboratory::measure_linear(const Trial& trial, const InputStatistics* inputs) {
  const LinearPlace& place = measured_place(*trial.unit);
  const Schedule& schedule = schedule_of(*trial.choice, place.role);
  const std::shared_ptr<Weight> dense = dense_->block(place.block).linears.at(place.role).weight;
  Linear& linear = changed_->block(place.block).linears.at(place.role);
  std::vector<LinearInWork> works;
  works.push_back({place.module, place.role, &schedule.linear_steps(place.block, place.role), 0,
                   dense->dense(), false});
  apply_steps(works, inputs);
  BlockResult stored;
  // Without statistics: nobody asks for the error of the output.
  replace_linear(*dense_, linear, std::move(works.front()), {}, nullptr, stored);
  linear.weight->prepare();
  // Linears of one unit have one size, as a rule.
  const Sizes one = dense_sizes(place);
  const Sizes all = dense_sizes(*trial.unit);
  Effect effect{{bytes_of(stored.tensors) * all.stored / one.stored,
                 linear.weight->cost().bytes * all.held / one.held},
                kl_from(*changed_, place.block)};
  linear.weight = dense;
  return effect;
}

}  // namespace terse
