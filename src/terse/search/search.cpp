#include "terse/search/search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <set>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/text.h"
#include "terse/model/inventory.h"
#include "terse/recipe/identity.h"
#include "terse/recipe/plan.h"
#include "terse/recipe/recipe_writer.h"
#include "terse/search/learned_rounding.h"
#include "terse/search/search_texts.h"
#include "terse/search/survey.h"
#include "terse/search/survey_plan.h"
#include "terse/search/work_folder.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

// A choice that loses this much more than one of no more bytes is not measured everywhere.
constexpr double kBeaten = 1 / 1.25;
// Candidates that are made to meet a goal that the estimate has missed.
constexpr int kTries = 4;
// What is expected to lose so much more than the best estimate may turn out to be better.
constexpr double kNearlyAsGood = 1.15;
// Estimates of time are trusted so far.
constexpr double kPatience = 1.5;

Json identity_of(const SearchTask& task, const Checkpoint& checkpoint) {
  const CalibrationSettings& c = task.calibration;
  return {{"program", program_identity()},
          {"model", model_identity(checkpoint)},
          {"calibration", text_identity(c.texts, c.token_file, task.input)},
          {"text", text_identity(task.text.texts, task.text.token_file, task.input)},
          {"settings",
           {{"calibration_text_key", c.text_key},
            {"calibration_samples", c.samples},
            {"calibration_window", c.window},
            {"calibration_seed", c.seed},
            {"text_key", task.text.text_key},
            {"window", task.text.window},
            {"samples", task.samples},
            {"survey_samples", task.survey_samples}}}};
}

void check_task(const SearchTask& task, const Checkpoint& checkpoint) {
  const SearchGoal& goal = task.goal;
  const int goals = (goal.bits_per_weight ? 1 : 0) + (goal.bytes ? 1 : 0) + (goal.max_kl ? 1 : 0);
  if (goals != 1) {
    throw bad_usage("{} goals are given; expected one of --target-bpw, --target-size and --max-kl",
                    goals == 0 ? "no" : "several");
  }
  for (const std::string& name : task.kinds) {
    if (choice_kinds().contains(name)) continue;
    std::vector<std::string> known;
    for (const auto& entry : choice_kinds()) known.push_back(entry.first);
    throw bad_usage("--kinds: no kind of choices is called '{}'; expected some of {}", name,
                    fmt::join(known, ", "));
  }
  for (const char* key : {"quantization_config", "terse_config"}) {
    if (!has_key(checkpoint.config(), key)) continue;
    throw bad_input(
        "{}: is already compressed (config.json has a {}); search for the model that "
        "it was made from",
        task.input.string(), key);
  }
  if (fs::exists(task.output) && !task.force) {
    throw bad_input("{}: exists already; use --force to replace it", task.output.string());
  }
}

class Search {
 public:
  Search(const SearchTask& task, Progress& progress)
      : task_(task),
        progress_(progress),
        deadline_(task.time_limit),
        checkpoint_(Checkpoint::open(task.input)) {
    check_task(task, checkpoint_);
    folder_.emplace(task.output, task.restart);
    begins_ = !fs::exists(folder_->path() / "calibration.json");
    const fs::path file =
        task.measurements.empty() ? folder_->path() / "measurements" : task.measurements;
    measurements_.emplace(file, identity_of(task, checkpoint_), task.restart);
  }

  SearchReport run() {
    try {
      prepare();
    } catch (const Error&) {
      // Nothing is measured yet that would be worth going on from.
      if (begins_) folder_->remove();
      throw;
    }
    survey_model();
    meet_goal("estimate", sensitivities_, table_);
    try_other_embeddings();
    learn_rounding();
    return finish();
  }

 private:
  void prepare() {
    ScoredText text = task_.text;
    text.samples = task_.samples;
    texts_ = read_search_texts(checkpoint_, task_.calibration, text, folder_->path(),
                               *measurements_, progress_);
    Windows some = texts_.windows;
    keep_spread(some, task_.survey_samples);
    laboratory_.emplace(checkpoint_, std::move(some), texts_.calibration, folder_->path());
    runs_.emplace(laboratory_->model(), texts_.windows, texts_.candidates, folder_->path(),
                  *measurements_, progress_);
    const Inventory inventory = take_inventory(laboratory_->model());
    report_.parameters = inventory.parameters;
    report_.bytes_before = inventory.bytes;
    settings_.calibration = task_.calibration;
    cut_into_units();
    survey_.emplace(*laboratory_, table_, *measurements_, deadline_, progress_);
  }

  // Units and what may be done to them

  void cut_into_units() {
    const std::int64_t blocks = laboratory_->model().architecture().num_hidden_layers;
    make_table(blocks);
    if (!deadline_.limited()) return;
    if (measurements_->find("plan") == nullptr) {
      measurements_->add("plan", {{"parts", parts_in_time(blocks)}});
    }
    make_table(
        std::clamp<std::int64_t>(get_integer(*measurements_->find("plan"), "parts"), 1, blocks));
  }

  void make_table(std::int64_t parts) {
    const std::set<std::string> asked(task_.kinds.begin(), task_.kinds.end());
    table_ = {units_of(laboratory_->model(), parts), {}};
    for (const Unit& unit : table_.units) {
      std::vector<Choice>& choices = table_.choices.emplace_back();
      choices.push_back({"dense", {}});
      for (const auto& [name, kind] : choice_kinds()) {
        if (!asked.empty() && !asked.contains(name)) continue;
        for (Choice& choice : kind.choices(unit)) {
          if (laboratory_->fits(unit, choice)) choices.push_back(std::move(choice));
        }
      }
    }
    report_.units = static_cast<std::int64_t>(table_.units.size());
  }

  // Two choices in the middle of the model are measured, to see how long that takes.
  std::int64_t parts_in_time(std::int64_t blocks) {
    std::int64_t choices = 0;
    std::vector<Trial> trials;
    for (std::size_t i = 0; i < table_.units.size(); ++i) {
      const Unit& unit = table_.units[i];
      if (!is_middle(unit)) continue;
      choices += static_cast<std::int64_t>(table_.choices[i].size()) - 1;
      if (!unit.is_embeddings() && table_.choices[i].size() > 1 && trials.size() < 2) {
        trials.push_back({&unit, &table_.choices[i].back()});
      }
    }
    std::vector<Deadline::Clock::time_point> times{Deadline::Clock::now()};
    laboratory_->measure(trials, [&](std::size_t, const Effect&) {
      times.push_back(Deadline::Clock::now());
      return true;
    });
    if (times.size() < 3) return blocks;
    const auto seconds = [&](std::size_t i) {
      return std::chrono::duration<double>(times[i] - times[i - 1]).count();
    };
    // The walk went half of the way.
    const SurveyCost cost{2 * std::max(seconds(1) - seconds(2), 0.0), seconds(2)};
    return affordable_parts(blocks, choices, cost, task_.time_limit);
  }

  // All choices are measured in the middle of the model, and then everywhere those that are not
  // clearly beaten there.
  void survey_model() {
    Asked asked(table_.units.size());
    std::map<LinearRole, std::size_t> middle;
    for (std::size_t unit = 0; unit < table_.units.size(); ++unit) {
      if (!is_middle(table_.units[unit])) continue;
      asked[unit].resize(table_.choices[unit].size() - 1);
      std::iota(asked[unit].begin(), asked[unit].end(), std::size_t{1});
      if (!table_.units[unit].is_embeddings()) {
        middle[table_.units[unit].places.front().role] = unit;
      }
    }
    const Sensitivities there = survey_->measure(asked);
    for (std::size_t unit = 0; unit < table_.units.size(); ++unit) {
      if (is_middle(table_.units[unit])) continue;
      const auto& same = there[middle.at(table_.units[unit].places.front().role)];
      asked[unit] = promising(same, kBeaten);
    }
    sensitivities_ = survey_->measure(asked);
    for (std::size_t unit = 0; unit < table_.units.size(); ++unit) {
      sensitivities_[unit][0] = {laboratory_->dense_bytes(table_.units[unit]), 0.0};
    }
  }

  bool is_middle(const Unit& unit) const {
    if (unit.is_embeddings()) return true;
    const std::int64_t block = laboratory_->model().architecture().num_hidden_layers / 2;
    return std::ranges::find(unit.places, block, &LinearPlace::block) != unit.places.end();
  }

  // Goals

  // Of tensors that no choice changes: norms, biases.
  std::uint64_t fixed_bytes() const {
    std::uint64_t units = 0;
    for (const Unit& unit : table_.units) units += laboratory_->dense_bytes(unit);
    return report_.bytes_before - units;
  }

  std::optional<std::uint64_t> budget() const {
    if (task_.goal.bytes) return task_.goal.bytes;
    if (!task_.goal.bits_per_weight) return std::nullopt;
    return static_cast<std::uint64_t>(*task_.goal.bits_per_weight / 8.0 *
                                      static_cast<double>(report_.parameters));
  }

  bool meets_goal(const Candidate& candidate) const {
    return budget() ? candidate.bytes <= *budget() : candidate.kl.mean <= *task_.goal.max_kl;
  }

  bool is_better(const Candidate& one, const Candidate& other) const {
    if (meets_goal(one) != meets_goal(other)) return meets_goal(one);
    return budget() ? one.kl.mean < other.kl.mean : one.bytes < other.bytes;
  }

  double bits(std::uint64_t bytes) const {
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(report_.parameters);
  }

  Error unreachable(const Sensitivities& sensitivities) const {
    const std::uint64_t least = fewest_bytes(sensitivities) + fixed_bytes();
    return bad_usage(
        "the model cannot be made as small as {:.3f} bits per weight ({}) by these choices; the "
        "smallest is {:.3f} ({})",
        bits(*budget()), bytes_text(*budget()), bits(least), bytes_text(least));
  }

  // `correction` is what earlier tries have shown: bytes to stay below the budget, or the share of
  // the divergence that is expected to be had.
  std::optional<Allocation> allocate(const Sensitivities& expected, std::uint64_t bytes_over,
                                     double share) const {
    if (!budget()) return least_bytes(expected, *task_.goal.max_kl * share);
    const std::uint64_t taken = fixed_bytes() + bytes_over;
    if (*budget() < taken) return std::nullopt;
    return least_loss(expected, *budget() - taken);
  }

  // Makes what the estimates say is best, and again where they were wrong about the goal.
  void meet_goal(const std::string& name, const Sensitivities& expected, const ChoiceTable& table) {
    std::uint64_t bytes_over = 0;
    double share = 1.0;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const auto allocation = allocate(expected, bytes_over, share);
      if (!allocation) {
        if (report_.candidates.empty()) throw unreachable(expected);
        break;
      }
      const Recipe recipe = table.recipe(allocation->options, settings_);
      if (recipe.steps.empty()) {
        if (report_.candidates.empty()) throw nothing_to_do();
        break;
      }
      if (tried_.contains(recipe_yaml(recipe))) break;
      const Candidate& made = make(name, allocation->loss, recipe);
      if (budget()) {
        if (made.bytes <= *budget()) break;
        bytes_over += made.bytes - *budget();
      } else {
        const double ratio = *task_.goal.max_kl / made.kl.mean;
        if (ratio >= 1 && ratio < 1.02) break;
        share *= 0.99 * ratio;
      }
      if (deadline_.passed()) break;
    }
  }

  Error nothing_to_do() const {
    return bad_usage(
        "the goal is met by the model as it is ({:.3f} bits per weight), or by nothing else; ask "
        "for something smaller",
        bits(report_.bytes_before));
  }

  const Candidate& make(const std::string& name, double expected, const Recipe& recipe) {
    const auto start = Deadline::Clock::now();
    tried_.insert(recipe_yaml(recipe));
    report_.candidates.push_back(runs_->run(name, expected, recipe));
    const std::chrono::duration<double> seconds = Deadline::Clock::now() - start;
    candidate_seconds_ = std::max(candidate_seconds_, seconds.count());
    const std::size_t last = report_.candidates.size() - 1;
    if (last == 0 || is_better(report_.candidates[last], report_.candidates[report_.best])) {
      report_.best = last;
    }
    return report_.candidates[last];
  }

  // Other estimates

  // Embedding and head are the largest unit by far, where an error of the estimates costs most.
  void try_other_embeddings() {
    const auto unit = static_cast<std::size_t>(
        std::ranges::find_if(table_.units, &Unit::is_embeddings) - table_.units.begin());
    const auto best = allocate(sensitivities_, 0, 1.0);
    for (std::size_t option = 0; option < table_.choices[unit].size(); ++option) {
      if (!sensitivities_[unit].contains(option) || option == best->options[unit]) continue;
      const Sensitivities fixed = with_fixed(sensitivities_, unit, option);
      const auto other = allocate(fixed, 0, 1.0);
      if (!other || !nearly_as_good(*other, *best)) continue;
      if (!time_for(candidate_seconds_, table_.choices[unit][option].name)) return;
      meet_goal(table_.choices[unit][option].name, fixed, table_);
    }
  }

  bool nearly_as_good(const Allocation& one, const Allocation& best) const {
    if (budget()) return one.loss < kNearlyAsGood * best.loss;
    return static_cast<double>(one.bytes) < kNearlyAsGood * static_cast<double>(best.bytes);
  }

  bool time_for(double seconds, const std::string& what) {
    if (deadline_.left() >= kPatience * seconds) return true;
    report_.notes.push_back(fmt::format("no time was left for the candidate '{}'", what));
    return false;
  }

  // Learned rounding

  // The divergence of a block rounded by AutoRound, as a share of that by GPTQ: measured on the
  // first choice of so many bits, for all of them. Above 4 bits little is left to learn.
  double learned_share(const Choice& choice, const Choice& learned) {
    const std::string& bits = choice.steps.front().options.at("bits").value;
    if (bits > "4") return 1.0;
    const std::int64_t block = laboratory_->model().architecture().num_hidden_layers / 2;
    const std::string key = fmt::format("learned rounding of block {} at {} bits", block, bits);
    if (measurements_->find(key) == nullptr) {
      const auto sum = [](const std::vector<double>& values) {
        return std::accumulate(values.begin(), values.end(), 0.0);
      };
      const double rounded = sum(laboratory_->kl_of_block(choice.steps, block));
      const double made = sum(laboratory_->kl_of_block(learned.steps, block));
      measurements_->add(key, {{"share", made / rounded}});
    }
    return get_number(*measurements_->find(key), "share");
  }

  // A candidate whose blocks are all learned, and the three that shares are measured on.
  double learning_seconds() const {
    Recipe recipe = settings_;
    recipe.calibration = texts_.candidates;
    recipe.steps = {step_of("autoround", {{"group_size", "32"}})};
    const double all = plan(task_.input, recipe, 0, folder_->path()).time.total();
    const auto blocks = static_cast<double>(laboratory_->model().architecture().num_hidden_layers);
    return all * (1 + 3 / blocks) + candidate_seconds_;
  }

  // Roundings that are learned, for the bits at which they are measured to be better.
  void learn_rounding() {
    if (!task_.learned_rounding || deadline_.passed()) return;
    if (!learned_rounding_installed()) {
      report_.notes.emplace_back("AutoRound was not tried: the training module is not installed");
      return;
    }
    if (deadline_.limited() && !time_for(learning_seconds(), "learned rounding")) return;
    ChoiceTable learned = table_;
    std::vector<std::vector<double>> shares;
    for (std::size_t unit = 0; unit < learned.units.size(); ++unit) {
      shares.emplace_back(learned.choices[unit].size(), 1.0);
      for (std::size_t i = 1; i < learned.choices[unit].size(); ++i) {
        Choice& choice = learned.choices[unit][i];
        const auto made = with_learned_rounding(choice);
        if (!made) continue;
        const double share = learned_share(choice, *made);
        if (share >= 1) continue;
        shares[unit][i] = share;
        choice = *made;
      }
    }
    const Sensitivities expected = scaled(
        sensitivities_, [&](std::size_t unit, std::size_t option) { return shares[unit][option]; });
    meet_goal("learned rounding", expected, learned);
  }

  SearchReport finish() {
    const Candidate& best = report_.candidates[report_.best];
    if (!meets_goal(best)) {
      report_.notes.emplace_back("no candidate met the goal; the recipe is that of the nearest");
    }
    write_file(task_.output, recipe_yaml(best.recipe));
    report_.measured = survey_->measured();
    report_.known = survey_->known();
    folder_->remove();
    return std::move(report_);
  }

  const SearchTask& task_;
  Progress& progress_;
  Deadline deadline_;
  Checkpoint checkpoint_;
  std::optional<WorkFolder> folder_;
  bool begins_ = false;  // no earlier process was at it
  std::optional<Measurements> measurements_;
  SearchTexts texts_;
  std::optional<Laboratory> laboratory_;
  std::optional<CandidateRuns> runs_;
  ChoiceTable table_;
  Recipe settings_;
  std::optional<Survey> survey_;
  Sensitivities sensitivities_;
  std::set<std::string> tried_;
  double candidate_seconds_ = 0;
  SearchReport report_;
};

}  // namespace

SearchReport search(const SearchTask& task, Progress& progress) {
  return Search(task, progress).run();
}

}  // namespace terse
