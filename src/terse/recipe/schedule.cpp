#include "terse/recipe/schedule.h"

#include <fmt/format.h>

#include <algorithm>

#include "terse/core/error.h"
#include "terse/methods/learning_rules.h"
#include "terse/methods/shape_method.h"
#include "terse/methods/training.h"
#include "terse/recipe/shape_steps.h"

namespace terse {
namespace {

// Damping of the second moments where there are fewer tokens than inputs: they are singular, and
// what they say of the directions that no token took is damping alone.
constexpr const char* kRaisedDamping = "0.1";
// The category of methods whose zeros are kept by what comes after them.
constexpr std::string_view kPruning = "prune";

const MethodOption* find_option(const MethodInfo& info, std::string_view name) {
  const auto found = std::ranges::find(info.options, name, &MethodOption::name);
  return found == info.options.end() ? nullptr : &*found;
}

std::vector<Selector> selectors(const std::vector<std::string>& texts) {
  std::vector<Selector> parsed;
  for (const std::string& text : texts) parsed.emplace_back(text);
  return parsed;
}

// Notes which of the selectors matched; true when one did.
bool any_matches(const std::vector<Selector>& all, const LinearPlace& place, std::int64_t blocks,
                 std::vector<bool>& used) {
  bool matched = false;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!all[i].matches(place, blocks)) continue;
    used[i] = true;
    matched = true;
  }
  return matched;
}

void require_used(const std::vector<Selector>& all, const std::vector<bool>& used,
                  std::string_view method, std::string_view key) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (used[i]) continue;
    throw bad_usage("{}: {} '{}' matches no linear of the model", method, key, all[i].text());
  }
}

}  // namespace

Schedule::Schedule(const Model& model, std::span<const RecipeStep> steps,
                   std::int64_t calibration_tokens, const AllocatedShares& shares,
                   const Schedule* earlier)
    : architecture_(&model.architecture()),
      context_{model.dtype()},
      steps_(steps.begin(), steps.end()),
      calibration_tokens_(calibration_tokens) {
  if (earlier != nullptr) begin_after(*earlier);
  choose(model);
  build(model, shares);
}

void Schedule::begin_after(const Schedule& earlier) {
  scaled_before_ = earlier.scaled_before_;
  for (const BlockStep& step : earlier.block_steps_) {
    for (std::int64_t block = 0; block < architecture_->num_hidden_layers; ++block) {
      if (earlier.chosen(step.step, block)) scaled_before_.insert(block);
    }
  }
  for (const auto& [place, before] : earlier.entries_) {
    Entry& now = entries_[place];
    now.pruned_before = now.pruned = before.pruned;
    now.coded_before = now.coded = before.coded;
    now.apart_before = before.apart();
  }
}

void Schedule::choose(const Model& model) {
  const std::vector<LinearPlace> places = linear_places(model);
  const std::int64_t blocks = architecture_->num_hidden_layers;
  for (const LinearPlace& place : places) {
    entry_of(place).parts = {{architecture_->out_features(place.block, place.role),
                              architecture_->in_features(place.block, place.role)}};
  }
  // What has its weight from another linear becomes what that becomes.
  std::set<std::string> shared;
  for (const LinearPlace& place : places) {
    if (model.shares(place.block, place.key())) shared.insert(place.module);
  }
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    const RecipeStep& s = steps_[step];
    const std::vector<Selector> targets = selectors(s.targets);
    const std::vector<Selector> ignore = selectors(s.ignore);
    std::vector<bool> targets_used(targets.size());
    std::vector<bool> ignore_used(ignore.size());
    for (const LinearPlace& place : places) {
      const bool targeted = targets.empty() || any_matches(targets, place, blocks, targets_used);
      const bool ignored = any_matches(ignore, place, blocks, ignore_used);
      if (targeted && !ignored && !shared.contains(place.module)) {
        entry_of(place).chosen.insert(step);
      }
    }
    require_used(targets, targets_used, s.method, "target");
    require_used(ignore, ignore_used, s.method, "ignore");
    for (const auto& [name, option] : s.options) {
      std::vector<Selector> keys;
      for (const auto& row : option.table) keys.emplace_back(row.first);
      std::vector<bool> used(keys.size());
      for (const LinearPlace& place : places) any_matches(keys, place, blocks, used);
      require_used(keys, used, s.method, name);
    }
  }
}

void Schedule::build(const Model& model, const AllocatedShares& shares) {
  bool linear_seen = false;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    const MethodInfo& info = MethodRegistry::instance().find(steps_[step].method);
    const MethodOptions options(info, plain_options(steps_[step]));
    if (learns(info) || reconstructs(info)) require_no_experts(*architecture_, info.name);
    if (auto method = make_block_method(info.name, options, context_)) {
      require_no_experts(*architecture_, info.name);
      if (linear_seen && !has_linear_method(info.name)) {
        throw bad_usage("{} must come before the steps that prune or quantise", info.name);
      }
      const auto is_done = [](const auto& item) {
        return item.second.coded_before || item.second.apart_before;
      };
      if (std::ranges::any_of(entries_, is_done)) {
        throw bad_usage(
            "{} changes whole blocks, of which an earlier pass has quantised or factored linears",
            info.name);
      }
      if (model.shares_any()) {
        throw bad_usage(
            "{} changes the weights of every block by its inputs, and blocks share theirs; leave "
            "one of them out",
            info.name);
      }
      block_steps_.push_back({step, &info, std::move(method), statistics_of(info.need)});
    }
    linear_seen = linear_seen || has_linear_method(info.name);
  }
  for (const LinearPlace& place : linear_places(model)) {
    Entry& entry = entry_of(place);
    for (const std::size_t step : entry.chosen) {
      learns(info_of(step)) ? add_learning_step(place, step, entry)
                            : add_linear_step(place, step, shares, entry);
    }
  }
}

std::map<std::string, std::string> Schedule::options_of(std::size_t step,
                                                        const LinearPlace& place) const {
  std::map<std::string, std::string> options = plain_options(steps_[step]);
  for (const auto& [name, option] : steps_[step].options) {
    for (const auto& [selector, value] : option.table) {
      if (Selector(selector).matches(place, architecture_->num_hidden_layers)) {
        options[name] = value;
      }
    }
  }
  return options;
}

// An expert sees its share of them, as far as that is known before.
std::int64_t Schedule::tokens_of(const LinearPlace& place) const {
  if (!place.key().of_expert()) return calibration_tokens_;
  return calibration_tokens_ * architecture_->experts.per_token /
         architecture_->shape(place.block).num_experts;
}

void Schedule::raise_damping(const MethodInfo& info, const LinearPlace& place,
                             std::map<std::string, std::string>& options) {
  const std::int64_t inputs = architecture_->in_features(place.block, place.role);
  const std::int64_t tokens = tokens_of(place);
  if (calibration_tokens_ == 0 || tokens >= inputs) return;
  if (find_option(info, "percdamp") == nullptr || options.contains("percdamp")) return;
  options["percdamp"] = kRaisedDamping;
  const std::string note = fmt::format(
      "{}: {} calibration tokens{} are fewer than the {} inputs of {}: percdamp is raised to {}; "
      "calibrate on more text",
      info.name, tokens, place.key().of_expert() ? " for each expert" : "", inputs,
      role_name(place.role), kRaisedDamping);
  if (std::ranges::find(notes_, note) == notes_.end()) notes_.push_back(note);
}

const MethodInfo& Schedule::info_of(std::size_t step) const {
  return MethodRegistry::instance().find(steps_[step].method);
}

// Those that learn change a linear as it is stored, unless they put it on a grid.
void Schedule::add_learning_step(const LinearPlace& place, std::size_t step, Entry& entry) const {
  const MethodInfo& info = info_of(step);
  if (info.category != "quantize") return;
  check_order(place, entry, info, true);
  check_whole(place, entry, info);
  entry.coded = true;
}

void Schedule::add_linear_step(const LinearPlace& place, std::size_t step,
                               const AllocatedShares& shares, Entry& entry) {
  const MethodInfo& info = MethodRegistry::instance().find(steps_[step].method);
  if (!has_linear_method(info.name)) return;
  std::map<std::string, std::string> text = options_of(step, place);
  raise_damping(info, place, text);
  if (const auto found = shares.find(step); found != shares.end()) {
    const auto share = found->second.find(place.module);
    if (share == found->second.end()) {
      throw bad_input("{}: no share was allotted to it; use --restart", place.module);
    }
    text[allocated_option(MethodOptions(info, text))] = fmt::format("{}", share->second);
  }
  std::shared_ptr<const LinearMethod>& method = methods_[{step, text}];
  if (!method) method = make_linear_method(info.name, MethodOptions(info, text), context_);
  check_order(place, entry, info, method->quantizes());
  check_parts(place, entry, info, *method);
  check_unscaled(place, info, *method);
  for (const Shape& part : entry.parts) method->check(place.module, part[0], part[1]);
  if (entry.parts.size() == 1) entry.parts = method->parts(entry.parts[0][0], entry.parts[0][1]);
  entry.steps.push_back({step, &info, method});
  entry.pruned = entry.pruned || info.category == kPruning;
  entry.coded = entry.coded || method->quantizes();
}

// Integers stay as they are, and nothing is done twice in one pass.
void Schedule::check_order(const LinearPlace& place, const Entry& entry, const MethodInfo& info,
                           bool quantizes) const {
  if (entry.coded) {
    const std::string before =
        entry.coded_before ? "an earlier pass" : entry.steps.back().info->name;
    if (quantizes) {
      throw bad_usage("{}: {} and {} both quantise it; leave one of them out or aim them apart",
                      place.module, before, info.name);
    }
    throw bad_usage("{}: {} comes after {} has quantised it; prune first", place.module, info.name,
                    before);
  }
  for (const LinearStep& before : entry.steps) {
    if (before.info->category != info.category) continue;
    throw bad_usage(
        "{}: {} and {} both change it; leave one of them out, aim them apart or set remeasure",
        place.module, before.info->name, info.name);
  }
}

void Schedule::check_whole(const LinearPlace& place, const Entry& entry, const MethodInfo& info) {
  if (!entry.apart_before) return;
  throw bad_usage("{}: {} comes after an earlier pass has taken it apart", place.module, info.name);
}

// What a weight was taken apart into stays apart, and nothing is known of its parts but what
// follows from the moments of the linear's inputs.
void Schedule::check_parts(const LinearPlace& place, const Entry& entry, const MethodInfo& info,
                           const LinearMethod& method) const {
  if (entry.pruned && method.fills_zeros()) {
    throw bad_usage("{}: {} would fill the zeros that an earlier step has made; let it come first",
                    place.module, info.name);
  }
  if (!entry.apart()) return;
  check_whole(place, entry, info);
  StatisticsNeeds needs = statistics_of(info.need);
  needs |= method.needs();
  if (needs.ranges || info.need == MethodNeed::importance) {
    throw bad_usage("{}: {} needs to know {} of the factors that {} has made, which is not known",
                    place.module, info.name,
                    needs.ranges ? "ranges of the inputs" : "importance scores",
                    entry.steps.back().info->name);
  }
}

// What a linear read before a block method scaled it is not what it reads now.
void Schedule::check_unscaled(const LinearPlace& place, const MethodInfo& info,
                              const LinearMethod& method) const {
  if (!method.needs().shift) return;
  if (architecture_->num_experts > 0) {
    throw bad_usage(
        "{}: {} compares its inputs with those before the pass, which is not possible with experts "
        "yet; set update: false",
        place.module, info.name);
  }
  for (const BlockStep& step : block_steps_) {
    if (!chosen(step.step, place.block)) continue;
    throw bad_usage(
        "{}: {} compares its inputs with those before the pass, which {} scales; set remeasure",
        place.module, info.name, step.info->name);
  }
}

StatisticsNeeds LinearStep::needs() const {
  StatisticsNeeds all = statistics_of(info->need);
  all |= method->needs();
  return all;
}

std::vector<Shape> parts_after(std::span<const LinearStep> steps, std::int64_t rows,
                               std::int64_t columns) {
  std::vector<Shape> parts = {{rows, columns}};
  for (const LinearStep& step : steps) {
    if (parts.size() == 1) parts = step.method->parts(parts[0][0], parts[0][1]);
  }
  return parts;
}

const RecipeStep* Schedule::reconstruction() const {
  return reconstructs(info_of(0)) ? &steps_.front() : nullptr;
}

const std::vector<LinearStep>& Schedule::linear_steps(std::int64_t block,
                                                      const LinearKey& key) const {
  return entry(block, key).steps;
}

bool Schedule::chosen(std::size_t step, std::int64_t block, const LinearKey& key) const {
  return entry(block, key).chosen.contains(step);
}

bool Schedule::chosen(std::size_t step, std::int64_t block) const {
  return std::ranges::any_of(architecture_->block_linears(block),
                             [&](const LinearKey& key) { return chosen(step, block, key); });
}

bool Schedule::pruned_before(std::int64_t block, const LinearKey& key) const {
  return entry(block, key).pruned_before;
}

bool Schedule::coded_before(std::int64_t block, const LinearKey& key) const {
  return entry(block, key).coded_before;
}

bool Schedule::apart_before(std::int64_t block, const LinearKey& key) const {
  return entry(block, key).apart_before;
}

StatisticsNeeds Schedule::needs(std::int64_t block, const StageInput& input) const {
  StatisticsNeeds needs;
  for (const LinearKey& key : architecture_->readers(block, input)) {
    const std::span<const LinearStep> steps = linear_steps(block, key);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const StatisticsNeeds own = steps[i].needs();
      const auto parts = parts_after(steps.first(i), architecture_->out_features(block, key.role),
                                     architecture_->in_features(block, key.role));
      needs |= own;
      // What parts are given is mapped from the moments.
      needs.second_moments = needs.second_moments || (parts.size() > 1 && own.any());
    }
  }
  return needs;
}

StatisticsNeeds Schedule::statistics(std::int64_t block, const StageInput& input) const {
  StatisticsNeeds taken = needs(block, input);
  taken.second_moments = taken.second_moments || !taken.any();
  return taken;
}

bool Schedule::shifts(std::int64_t block) const {
  return std::ranges::any_of(kStages, [&](Stage stage) {
    return std::ranges::any_of(architecture_->inputs(block, stage),
                               [&](const StageInput& input) { return needs(block, input).shift; });
  });
}

bool Schedule::shifts() const {
  for (std::int64_t block = 0; block < architecture_->num_hidden_layers; ++block) {
    if (shifts(block)) return true;
  }
  return false;
}

std::vector<AllocationStep> Schedule::allocations() const {
  std::vector<AllocationStep> found;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    const MethodInfo& info = MethodRegistry::instance().find(steps_[step].method);
    const MethodOptions options(info, plain_options(steps_[step]));
    auto allocation = make_allocation(info, options);
    if (!allocation) continue;
    const std::string& shared = allocated_option(options);
    const auto given = steps_[step].options.find(shared);
    if (given != steps_[step].options.end() && !given->second.table.empty()) {
      throw bad_usage("{}: an allocation shares the {} out; one value must do for all linears",
                      info.name, shared);
    }
    found.push_back({step, std::move(allocation)});
  }
  return found;
}

bool is_calibrated(const Recipe& recipe) {
  if (!recipe.calibration.self_generated()) return true;
  return std::ranges::any_of(recipe.steps, [](const RecipeStep& step) {
    const MethodInfo& info = MethodRegistry::instance().find(step.method);
    if (learns(info)) return false;
    if (reshapes(info)) return shape_is_calibrated(step);
    if (info.need != MethodNeed::nothing && info.need != MethodNeed::importance) return true;
    const MethodOptions options(info, plain_options(step));
    if (const auto allocation = make_allocation(info, options);
        allocation && allocation->need() != MethodNeed::nothing) {
      return true;
    }
    return has_linear_method(info.name) &&
           make_linear_method(info.name, options, {})->needs().any();
  });
}

bool learns(const std::vector<RecipeStep>& pass) {
  return learns(MethodRegistry::instance().find(pass.front().method));
}

bool reconstructs(const std::vector<RecipeStep>& pass) {
  return reconstructs(MethodRegistry::instance().find(pass.front().method));
}

std::vector<std::vector<RecipeStep>> passes_of(const Recipe& recipe) {
  std::vector<std::vector<RecipeStep>> passes;
  const auto stands_alone = [](const RecipeStep& step) {
    const MethodInfo& info = MethodRegistry::instance().find(step.method);
    return learns(info) || reconstructs(info);
  };
  for (const RecipeStep& step : recipe.steps) {
    if (reshapes(MethodRegistry::instance().find(step.method))) continue;
    const bool cut = passes.empty() || step.remeasure || stands_alone(passes.back().front()) ||
                     stands_alone(step);
    if (cut) passes.emplace_back();
    passes.back().push_back(step);
  }
  return passes;
}

}  // namespace terse
