#include "terse/search/search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/text.h"
#include "terse/formats/staging_directory.h"
#include "terse/model/inventory.h"
#include "terse/recipe/identity.h"
#include "terse/recipe/recipe_writer.h"
#include "terse/search/survey.h"
#include "terse/search/work_folder.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

// Choices on either side of a unit's choice that are measured again around a recipe.
constexpr std::size_t kNeighbours = 2;
// Of the time limit: what measuring single choices may take.
constexpr double kSurveyShare = 0.4;

using Options = std::vector<std::size_t>;
using Asked = std::vector<std::vector<std::size_t>>;

class Search {
 public:
  Search(const SearchTask& task, Progress& progress)
      : task_(task),
        progress_(progress),
        deadline_(task.time_limit),
        checkpoint_(Checkpoint::open(task.input)),
        folder_(task.output, task.restart) {}

  SearchReport run() {
    open_measurements();
    read_texts();
    laboratory_.emplace(checkpoint_, measured_windows(), tokens_, folder_.path());
    const Inventory inventory = take_inventory(laboratory_->model());
    report_.parameters = inventory.parameters;
    report_.dense_bytes = inventory.bytes;
    make_table();
    first_survey();
    runs_.emplace(laboratory_->model(), windows_, calibration_, folder_.path(), *measurements_,
                  progress_);
    first_solution();
    for (std::int64_t round = 1; round <= task_.rounds && !deadline_.passed(); ++round) {
      if (!refine(round)) break;
    }
    learn_rounding();
    return finish();
  }

 private:
  // Set-up

  void open_measurements() {
    Json identity = {{"program", program_identity()},
                     {"model", model_identity(checkpoint_)},
                     {"calibration", text_identity(task_.calibration.texts,
                                                   task_.calibration.token_file, task_.input)},
                     {"text", text_identity(task_.text.texts, task_.text.token_file, task_.input)}};
    const CalibrationSettings& c = task_.calibration;
    identity["settings"] = {{"calibration_samples", c.samples},
                            {"calibration_window", c.window},
                            {"calibration_seed", c.seed},
                            {"window", task_.text.window},
                            {"samples", task_.samples},
                            {"measured_samples", task_.measured_samples}};
    const fs::path file =
        task_.measurements.empty() ? folder_.path() / "measurements" : task_.measurements;
    measurements_.emplace(file, identity, task_.restart);
  }

  // Text that the model writes itself takes long: it is kept.
  CalibrationTokens kept_tokens(const std::string& key, const CalibrationSettings& settings) {
    if (measurements_->find(key) == nullptr) {
      Model model(std::make_shared<const Checkpoint>(checkpoint_));
      const CalibrationTokens tokens = calibration_tokens(settings, model, progress_);
      measurements_->add(key, {{"window", tokens.window},
                               {"windows", tokens.windows},
                               {"source", tokens.source}});
    }
    const Json& kept = *measurements_->find(key);
    return {kept.at("window").get<std::int64_t>(),
            kept.at("windows").get<std::vector<std::vector<std::int32_t>>>(),
            kept.at("source").get<std::string>()};
  }

  void read_texts() {
    tokens_ = kept_tokens("calibration", task_.calibration);
    const fs::path file = folder_.path() / "calibration.json";
    write_file(file, Json(tokens_.windows).dump());
    calibration_ = {{}, "text", file, static_cast<std::int64_t>(tokens_.windows.size()),
                    tokens_.window};
    const Model model(std::make_shared<const Checkpoint>(checkpoint_));
    if (!task_.text.texts.empty() || !task_.text.token_file.empty()) {
      ScoredText text = task_.text;
      text.samples = task_.samples;
      windows_ = read_windows(text, model);
      return;
    }
    CalibrationSettings own;
    own.samples = task_.samples;
    own.window = task_.text.window;
    // Other windows than calibration's, whose seeds follow one another.
    own.seed = task_.calibration.seed + (std::uint64_t{1} << 32);
    std::vector<std::int32_t> ids;
    const CalibrationTokens written = kept_tokens("text", own);
    for (const auto& window : written.windows) ids.insert(ids.end(), window.begin(), window.end());
    windows_ = cut_windows(std::move(ids), written.window);
  }

  Windows measured_windows() const {
    Windows some = windows_;
    keep_spread(some, task_.measured_samples);
    return some;
  }

  void make_table() {
    std::set<std::string> asked(task_.kinds.begin(), task_.kinds.end());
    const Architecture& a = laboratory_->model().architecture();
    table_.units = units_of(laboratory_->model(), a.num_hidden_layers);
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
    settings_.calibration = task_.calibration;
  }

  // Measuring

  std::uint64_t fixed_bytes() const {
    std::uint64_t units = 0;
    for (const Unit& unit : table_.units) units += laboratory_->dense_bytes(unit);
    return report_.dense_bytes - units;
  }

  void first_survey() {
    Asked asked(table_.units.size());
    for (std::size_t unit = 0; unit < table_.units.size(); ++unit) {
      for (std::size_t i = 1; i < table_.choices[unit].size(); ++i) asked[unit].push_back(i);
    }
    first_ = survey(*laboratory_, table_, asked, "dense", *measurements_, deadline_, progress_);
    for (std::size_t unit = 0; unit < table_.units.size(); ++unit) {
      first_[unit][0] = {laboratory_->dense_bytes(table_.units[unit]), 0.0};
    }
  }

  // Solving

  struct Solved {
    Options options;
    std::uint64_t bytes;
    double loss;
  };

  std::optional<Solved> solve(const Sensitivities& sensitivities, std::uint64_t budget) const {
    std::vector<std::vector<KnapsackOption>> units;
    std::vector<std::vector<std::size_t>> names;
    for (const auto& unit : sensitivities) {
      auto& options = units.emplace_back();
      auto& numbers = names.emplace_back();
      for (const auto& [option, effect] : unit) {
        options.push_back(effect);
        numbers.push_back(option);
      }
    }
    const Knapsack knapsack(units);
    const std::uint64_t fixed = fixed_bytes();
    if (budget < fixed) return std::nullopt;
    const auto solution = knapsack.best(budget - fixed);
    if (!solution) return std::nullopt;
    Solved solved{{}, solution->weight + fixed, solution->loss};
    for (std::size_t unit = 0; unit < names.size(); ++unit) {
      solved.options.push_back(names[unit][solution->options[unit]]);
    }
    return solved;
  }

  std::uint64_t budget() const {
    if (task_.target_bytes) return *task_.target_bytes;
    return static_cast<std::uint64_t>(*task_.target_bits_per_weight / 8.0 *
                                      static_cast<double>(report_.parameters));
  }

  void try_candidate(const std::string& name, const Options& options) {
    Candidate made = runs_->run(name, table_.recipe(options, settings_));
    const bool better = report_.candidates.empty() || made.kl.mean < best().kl.mean;
    report_.candidates.push_back(std::move(made));
    if (!better) return;
    report_.best = report_.candidates.size() - 1;
    options_ = options;
  }

  const Candidate& best() const { return report_.candidates[report_.best]; }

  void first_solution() {
    const auto solved = solve(first_, budget());
    if (!solved) throw bad_usage("the target cannot be reached");
    try_candidate("first solution", solved->options);
  }

  // Refining

  // Choices of a unit that no other beats in both bytes and loss.
  std::vector<std::size_t> frontier(std::size_t unit) const {
    std::vector<std::pair<KnapsackOption, std::size_t>> sorted;
    for (const auto& [option, effect] : first_[unit]) sorted.emplace_back(effect, option);
    std::ranges::sort(sorted, {}, [](const auto& e) {
      return std::pair(e.first.weight, e.first.loss);
    });
    std::vector<std::size_t> kept;
    double least = 1e300;
    for (const auto& [effect, option] : sorted) {
      if (effect.loss >= least) continue;
      least = effect.loss;
      kept.push_back(option);
    }
    return kept;
  }

  std::vector<std::size_t> neighbours(std::size_t unit, std::size_t option) const {
    const std::vector<std::size_t> all = frontier(unit);
    const auto weight = [&](std::size_t o) { return first_[unit].at(o).weight; };
    const auto at = static_cast<std::size_t>(
        std::ranges::lower_bound(all, weight(option), {}, weight) - all.begin());
    std::vector<std::size_t> near;
    const std::size_t first = at > kNeighbours ? at - kNeighbours : 0;
    for (std::size_t i = first; i < std::min(all.size(), at + kNeighbours + 1); ++i) {
      if (all[i] != option) near.push_back(all[i]);
    }
    return near;
  }

  // Measures around the best recipe and solves again; whether that was better.
  bool refine(std::int64_t round) {
    const Recipe recipe = table_.recipe(options_, settings_);
    laboratory_->set_background(recipe);
    Asked asked;
    for (std::size_t unit = 0; unit < table_.units.size(); ++unit) {
      asked.push_back(neighbours(unit, options_[unit]));
    }
    Sensitivities around = survey(*laboratory_, table_, asked, background_name(), *measurements_,
                                  deadline_, progress_);
    for (std::size_t unit = 0; unit < table_.units.size(); ++unit) {
      around[unit][options_[unit]] = {first_[unit].at(options_[unit]).weight, 0.0};
    }
    const auto solved = solve(around, budget());
    if (!solved || solved->options == options_) return false;
    const std::size_t before = report_.best;
    try_candidate(fmt::format("round {}", round), solved->options);
    return report_.best != before;
  }

  // By the choices: the same recipe, the same name.
  std::string background_name() const {
    return fmt::format("{}", fmt::join(options_, " "));
  }

  void learn_rounding() {}

  SearchReport finish() {
    write_file(task_.output, recipe_yaml(best().recipe));
    folder_.remove();
    return std::move(report_);
  }

  const SearchTask& task_;
  Progress& progress_;
  Deadline deadline_;
  Checkpoint checkpoint_;
  WorkFolder folder_;
  std::optional<Measurements> measurements_;
  CalibrationTokens tokens_;
  CalibrationSettings calibration_;  // of candidates: the tokens in a file
  Windows windows_;
  std::optional<Laboratory> laboratory_;
  std::optional<CandidateRuns> runs_;
  ChoiceTable table_;
  Recipe settings_;
  Sensitivities first_;
  Options options_;  // of the best candidate
  SearchReport report_;
};

}  // namespace

SearchReport search(const SearchTask& task, Progress& progress) {
  return Search(task, progress).run();
}

}  // namespace terse
