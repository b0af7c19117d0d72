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
#include "terse/model/inventory.h"
#include "terse/recipe/identity.h"
#include "terse/recipe/plan.h"
#include "terse/recipe/recipe_writer.h"
#include "terse/search/learned_rounding.h"
#include "terse/search/model_survey.h"
#include "terse/search/search_texts.h"
#include "terse/search/work_folder.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

// Candidates that are made to meet a goal that the estimate has missed.
constexpr int kTries = 4;
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
  task.goal.check();
  for (const std::string& name : task.kinds) {
    if (choice_kinds().contains(name)) continue;
    std::vector<std::string> known;
    for (const auto& entry : choice_kinds()) known.push_back(entry.first);
    throw bad_usage("--kinds: no kind of choices is called '{}'; expected some of {}", name,
                    fmt::join(known, ", "));
  }
  require_no_experts(parse_architecture(checkpoint.config()), "search");
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
    bool hurried = false;
    sensitivities_ = survey_model(*survey_, *laboratory_, table_, hurried);
    if (hurried) {
      report_.notes.emplace_back(
          "not all choices were measured in time: the others are taken to be as in the middle");
    }
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
    settings_.calibration = task_.calibration;
    table_ = cut_into_units(*laboratory_, {task_.kinds.begin(), task_.kinds.end()},
                            task_.time_limit, *measurements_);
    survey_.emplace(*laboratory_, table_, *measurements_, deadline_, progress_);
    count();
  }

  void count() {
    const Inventory inventory = take_inventory(laboratory_->model());
    ModelSize size{inventory.parameters, inventory.bytes, inventory.bytes};
    for (const Unit& unit : table_.units) size.fixed_bytes -= laboratory_->dense_bytes(unit);
    goal_.emplace(task_.goal, size);
    report_.parameters = size.parameters;
    report_.bytes_before = size.bytes;
    report_.units = static_cast<std::int64_t>(table_.units.size());
  }

  // Makes what the estimates say is best, and again where they were wrong about the goal.
  void meet_goal(const std::string& name, const Sensitivities& expected, const ChoiceTable& table) {
    GoalCorrection correction;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const auto allocation = goal_->allocate(expected, correction);
      if (!allocation) {
        if (report_.candidates.empty()) throw goal_->unreachable(expected);
        return;
      }
      const Recipe recipe = table.recipe(allocation->options, settings_);
      if (recipe.steps.empty()) {
        if (report_.candidates.empty()) throw goal_->nothing_to_do();
        return;
      }
      if (!tried_.insert(recipe_yaml(recipe)).second) return;
      const Candidate& made = make(name, allocation->loss, recipe);
      if (!goal_->correct(made, correction) || deadline_.passed()) return;
    }
  }

  const Candidate& make(const std::string& name, double expected, const Recipe& recipe) {
    const auto start = Deadline::Clock::now();
    report_.candidates.push_back(runs_->run(name, expected, recipe));
    const std::chrono::duration<double> seconds = Deadline::Clock::now() - start;
    candidate_seconds_ = std::max(candidate_seconds_, seconds.count());
    const std::size_t last = report_.candidates.size() - 1;
    if (goal_->prefers(report_.candidates[last], report_.candidates[report_.best])) {
      report_.best = last;
    }
    return report_.candidates[last];
  }

  // Other estimates

  // Embedding and head are the largest unit by far, where an error of the estimates costs most.
  void try_other_embeddings() {
    const std::size_t unit = table_.embeddings();
    const auto best = goal_->allocate(sensitivities_);
    for (const auto& [option, effect] : sensitivities_[unit]) {
      if (option == best->options[unit]) continue;
      const Sensitivities fixed = with_fixed(sensitivities_, unit, option);
      const auto other = goal_->allocate(fixed);
      if (!other || !goal_->nearly_as_good(*other, *best)) continue;
      const std::string& name = table_.choices[unit][option].name;
      if (!time_for(candidate_seconds_, name)) return;
      meet_goal(name, fixed, table_);
    }
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
    if (!goal_->met_by(best)) {
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
  std::optional<Goal> goal_;
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
