#include "terse/recipe/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "terse/model/inventory.h"
#include "terse/recipe/block_cost.h"
#include "terse/recipe/embeddings.h"
#include "terse/recipe/importance_scores.h"
#include "terse/recipe/learning_steps.h"
#include "terse/recipe/ratio_target.h"
#include "terse/recipe/reshape.h"
#include "terse/recipe/shape_steps.h"

namespace terse {
namespace {

// Passes over the bytes of the output: parts are written and read for their digest and for the
// output, which is written too.
constexpr double kWritten = 2.0;
// Gradients of inputs and of weights take a forward pass each; the rest of a step is small beside.
constexpr double kTrainedRow = 3.0;
// Generating a token costs the time of a row of a small batch, which reads the weights for few.
constexpr double kGeneratedRow = 4.0;

std::string options_text(const RecipeStep& step) {
  std::vector<std::string> words;
  for (const auto& [name, option] : step.options) {
    std::vector<std::string> values;
    if (!option.value.empty()) values.push_back(option.value);
    for (const auto& [selector, value] : option.table) {
      values.push_back(fmt::format("{} for {}", value, selector));
    }
    words.push_back(fmt::format("{} {}", name, fmt::join(values, " and ")));
  }
  return fmt::format("{}", fmt::join(words, ", "));
}

std::int64_t linears_of(const Model& model, const Schedule& schedule, std::size_t step) {
  return std::ranges::count_if(linear_places(model), [&](const LinearPlace& place) {
    return schedule.chosen(step, place.block, place.key());
  });
}

// What is done to a block, as far as its cost goes: blocks that are alike are measured once.
std::vector<const void*> signature(const Architecture& a, const Schedule& schedule,
                                   std::int64_t block) {
  std::vector<const void*> methods;
  for (const BlockStep& step : schedule.block_steps()) {
    methods.push_back(schedule.chosen(step.step, block) ? step.method.get() : nullptr);
  }
  for (const LinearKey& key : a.block_linears(block)) {
    for (const LinearStep& step : schedule.linear_steps(block, key)) {
      methods.push_back(step.method.get());
    }
    methods.push_back(schedule.pruned_before(block, key) ? &schedule : nullptr);
  }
  return methods;
}

class Planner {
 public:
  Planner(const std::filesystem::path& input, const Recipe& recipe, std::uint64_t memory)
      : recipe_(recipe), input_(Checkpoint::open(input)), model_(reshape()) {
    plan_.memory_limit = memory > 0 ? memory : default_memory_limit();
    if (!recipe.importance.empty()) importance_.emplace(recipe.importance, model_.checkpoint());
  }

  Plan run(const std::filesystem::path& place) {
    const Inventory before = take_inventory(Model(std::make_shared<const Checkpoint>(input_)));
    const Inventory inventory = take_inventory(model_);
    plan_.blocks = model_.architecture().num_hidden_layers;
    plan_.parameters = inventory.parameters;
    plan_.bytes_before = before.bytes;
    plan_.bits_per_weight_before = before.bits_per_weight();
    if (inventory.parameters != before.parameters) {
      plan_.notes.push_back(fmt::format("the model is reshaped first: {} of its {} parameters stay",
                                        inventory.parameters, before.parameters));
    }
    if (is_calibrated(recipe_)) {
      plan_.calibration = expected_calibration(recipe_.calibration, model_.architecture());
    }
    add_shape_steps();
    const auto passes = passes_of(recipe_);
    for (const auto& steps : passes) add_pass(steps);
    check_learning_steps(recipe_, model_, schedules_);
    double bytes = static_cast<double>(inventory.bytes) + embeddings_change();
    for (const auto& entry : changes_) bytes += entry.second;
    plan_.bytes = static_cast<std::uint64_t>(bytes);
    plan_.bits_per_weight =
        8.0 * static_cast<double>(plan_.bytes) / static_cast<double>(plan_.parameters);
    add_files(passes.size());
    plan_.disk_free = std::filesystem::space(place).available;
    return std::move(plan_);
  }

 private:
  Model reshape() const {
    return Model(std::make_shared<const Checkpoint>(reshaped(input_, recipe_)));
  }

  void add_shape_steps() {
    Checkpoint checkpoint = input_;
    for (const RecipeStep& step : shape_steps_of(recipe_)) {
      const RecipeStep own = with_own_ratio(checkpoint, step);
      const auto method =
          make_shape_method(MethodRegistry::instance().find(own.method), options_of(own));
      plan_.memory = larger(plan_.memory,
                            plan_shape_memory(Model(std::make_shared<const Checkpoint>(checkpoint)),
                                              *method, plan_.calibration, plan_.memory_limit));
      checkpoint = outline(checkpoint, own);
    }
  }

  void add_pass(const std::vector<RecipeStep>& steps) {
    const Schedule& schedule =
        schedules_.emplace_back(model_, steps, plan_.calibration.tokens, AllocatedShares(),
                                schedules_.empty() ? nullptr : &schedules_.back());
    if (importance_) importance_->check(model_, schedule);
    auto& planned = plan_.passes.emplace_back();
    for (std::size_t step = 0; step < steps.size(); ++step) {
      const MethodInfo& info = MethodRegistry::instance().find(steps[step].method);
      planned.push_back({info.name, options_text(steps[step]), linears_of(model_, schedule, step),
                         std::string(need_name(info.need))});
    }
    if (learns(steps)) {
      plan_.notes.push_back(fmt::format(
          "{} trains: its time, its memory and what it changes of the size are not in these "
          "numbers",
          steps.front().method));
      return;
    }
    plan_.notes.insert(plan_.notes.end(), schedule.notes().begin(), schedule.notes().end());
    const MemoryPlan memory =
        plan_memory(model_, schedule, plan_.calibration, recipe_.output, plan_.memory_limit);
    plan_.memory = larger(plan_.memory, memory);
    add_blocks(schedule);
  }

  void add_blocks(const Schedule& schedule) {
    std::map<std::vector<const void*>, BlockCost> measured;
    const auto tokens = static_cast<double>(plan_.calibration.tokens);
    const bool surveyed = std::ranges::any_of(schedule.allocations(), [](const AllocationStep& s) {
      return s.allocation->need() != MethodNeed::nothing;
    });
    for (std::int64_t block = 0; block < plan_.blocks; ++block) {
      const auto key = signature(model_.architecture(), schedule, block);
      if (!measured.contains(key)) {
        measured[key] = measure_block(model_, schedule, recipe_.output, plan_.calibration, block);
      }
      const BlockCost& cost = measured.at(key);
      for (const auto& [linear, change] : cost.change) changes_[{block, linear}] = change;
      // Each block method sees the block run once more before its stages are; an allocation looks
      // at it and moves on.
      const auto scaled = std::ranges::count_if(schedule.block_steps(), [&](const BlockStep& s) {
        return schedule.chosen(s.step, block);
      });
      const double walks = 1.0 + static_cast<double>(scaled) + (surveyed ? 2.0 : 0.0);
      // Nothing reads what the last stage of the last block puts out.
      const double share = block + 1 < plan_.blocks ? walks : walks - 0.2;
      plan_.time.forward += tokens * cost.forward * share;
      plan_.time.statistics += tokens * cost.statistics * (surveyed ? 2.0 : 1.0);
      plan_.time.methods += cost.block_methods + cost.linear_methods;
      // The reference runs beside the model.
      if (stream_count(schedule) > 1) plan_.time.forward += tokens * cost.forward;
      if (const RecipeStep* step = schedule.reconstruction()) {
        if (schedule.chosen(0, block)) {
          plan_.time.methods += reconstruction_rows(*step) * kTrainedRow * cost.forward;
        }
      }
      if (plan_.calibration.self_generated && plan_.passes.size() == 1) {
        plan_.time.calibration += tokens * cost.forward * kGeneratedRow;
      }
    }
  }

  // Tokens that a block sees while it is reconstructed.
  double reconstruction_rows(const RecipeStep& step) const {
    const MethodOptions options = options_of(step);
    const std::int64_t windows = plan_.calibration.tokens / plan_.calibration.window;
    return static_cast<double>(options.integer("iters") *
                               std::min(options.integer("batch_size"), windows) *
                               plan_.calibration.window);
  }

  // By how many bytes quantised embedding and head change the model.
  double embeddings_change() const {
    if (recipe_.output.embeddings_bits == 0 || recipe_.output.dequantize) return 0;
    const auto groups = static_cast<double>(embedding_group_size(model_.architecture()));
    const auto stored = static_cast<double>(8 * dtype_size(model_.dtype()));
    const double bits = recipe_.output.embeddings_bits * (1.0 + 1.0 / groups) + stored / groups;
    const double matrices = model_.tied() ? 1.0 : 2.0;
    return matrices *
           static_cast<double>(model_.architecture().vocab_size *
                               model_.architecture().embedding_size) *
           (bits - stored) / 8.0;
  }

  void add_files(std::size_t passes) {
    const double rate = measure_writing();
    const auto bytes = static_cast<double>(plan_.bytes);
    plan_.time.files = kWritten * static_cast<double>(passes) * bytes / rate;
    plan_.disk = (1 + passes) * plan_.bytes + plan_.memory.disk;
  }

  const Recipe& recipe_;
  Checkpoint input_;
  Model model_;  // reshaped
  std::optional<ImportanceScores> importance_;
  std::vector<Schedule> schedules_;  // of the passes so far
  // By how many bytes each linear changes, by the last pass that changes it.
  std::map<std::pair<std::int64_t, LinearKey>, double> changes_;
  Plan plan_;
};

}  // namespace

Plan plan(const std::filesystem::path& input, const Recipe& recipe, std::uint64_t memory,
          const std::filesystem::path& place) {
  return Planner(input, recipe, memory).run(place);
}

}  // namespace terse
