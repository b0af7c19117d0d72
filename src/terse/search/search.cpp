#include "terse/search/search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <ranges>
#include <set>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/threads.h"
#include "terse/model/inventory.h"
#include "terse/recipe/identity.h"
#include "terse/recipe/plan.h"
#include "terse/recipe/recipe_writer.h"
#include "terse/search/learned_rounding.h"
#include "terse/search/model_survey.h"
#include "terse/search/search_texts.h"
#include "terse/search/shapes.h"
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

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
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
        resource_(task.goal.resource()),
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
    survey();
    try_shapes();
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
    runs_.emplace(laboratory_->model(), texts_.windows, texts_.candidates, timed(), folder_->path(),
                  *measurements_, progress_);
    settings_.calibration = task_.calibration;
    table_ = cut_into_units(*laboratory_, {task_.kinds.begin(), task_.kinds.end()},
                            task_.time_limit, *measurements_);
    survey_.emplace(*laboratory_, table_, resource_, *measurements_, deadline_, progress_);
    count();
  }

  void count() {
    const Inventory inventory = take_inventory(laboratory_->model());
    report_.parameters = inventory.parameters;
    report_.before = {inventory.bytes, held_bytes(laboratory_->model())};
    if (timed()) report_.token_seconds_before = dense_token_seconds();
    goal_.emplace(task_.goal,
                  DenseModel{report_.parameters, report_.before, report_.token_seconds_before});
    report_.units = static_cast<std::int64_t>(table_.units.size());
  }

  // Measured time differs from one process to the next: what was found once is kept.
  double dense_token_seconds() {
    const std::string key = fmt::format("dense on {} threads", thread_count());
    if (measurements_->find(key) == nullptr) {
      measurements_->add(key, {{"token_seconds", token_seconds(laboratory_->model())}});
    }
    return get_number(*measurements_->find(key), "token_seconds");
  }

  void survey() {
    bool hurried = false;
    ShapedChoices as_it_is{"estimate", {}, table_, {}};
    as_it_is.sensitivities = survey_model(*survey_, *laboratory_, table_, resource_, hurried);
    if (hurried) {
      report_.notes.emplace_back(
          "not all choices were measured in time: the others are taken to be as in the middle");
    }
    std::uint64_t others = report_.before.of(resource_);
    for (const Unit& unit : table_.units) others -= laboratory_->dense_sizes(unit).of(resource_);
    as_it_is.sensitivities.push_back({{0, {others, 0.0}}});
    shapes_.push_back(std::move(as_it_is));
  }

  // Makes what the estimates say is best, and again where they were wrong about the goal. Whether
  // the best candidate of all came of it.
  bool meet_goal(const std::string& name, const ShapedChoices& shape,
                 const Sensitivities& expected) {
    const std::size_t before = report_.candidates.size();
    GoalCorrection correction;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const auto allocation = goal_->allocate(expected, correction);
      if (!allocation) break;
      const Recipe recipe = shape.recipe(allocation->options, settings_);
      if (recipe.steps.empty()) break;
      if (!tried_.insert(recipe_yaml(recipe)).second) break;
      const Candidate& made = make(name, allocation->loss, recipe);
      if (!goal_->correct(made, expected, correction) || deadline_.passed()) break;
    }
    return report_.best >= before && report_.best < report_.candidates.size();
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

  // Shapes

  double kl_without(std::int64_t block) {
    const std::string key = fmt::format("without block {}", block);
    if (measurements_->find(key) == nullptr) {
      const std::vector<double> sums = laboratory_->kl_without(block);
      const std::vector<double>& positions = laboratory_->window_positions();
      measurements_->add(key, {{"kl", sum(sums) / sum(positions)}});
    }
    return get_number(*measurements_->find(key), "kl");
  }

  // Gives the model every shape that there is, to see what that alone loses; a shape may be all
  // that is needed.
  void measure_shapes() {
    const std::set<std::string> kinds(task_.kinds.begin(), task_.kinds.end());
    const ShapeQuestions questions{laboratory_->model().architecture(),
                                   [&](std::int64_t block) { return kl_without(block); }};
    for (const Choice& shape : shapes_of(kinds, questions)) {
      const auto outline = outline_of(checkpoint_, shape);
      if (!outline) {
        report_.notes.push_back(
            fmt::format("this model cannot be given the shape '{}'", shape.name));
        continue;
      }
      // A candidate of that shape takes as long again, and more.
      if (!time_for(3 * candidate_seconds_, shape.name)) {
        all_shapes_ = false;
        return;
      }
      Recipe recipe = settings_;
      recipe.steps = shape.steps;
      tried_.insert(recipe_yaml(recipe));
      const double kl = make(shape.name + " alone", 0, recipe).kl.mean;
      report_.candidates.back().expected_kl = kl;
      shapes_.push_back(in_shape(*laboratory_, shape, *outline, kl, shapes_.front(), resource_));
    }
  }

  // The best of every shape, where it may be the best of all; the first is the expected best.
  void try_shapes() {
    if (goal_->met_by_dense()) throw goal_->nothing_to_do();
    measure_shapes();
    std::vector<std::pair<Assignment, const ShapedChoices*>> expected;
    for (const ShapedChoices& shape : shapes_) {
      if (auto found = goal_->allocate(shape.sensitivities)) {
        expected.emplace_back(std::move(*found), &shape);
      }
    }
    if (expected.empty()) return give_up();
    std::ranges::stable_sort(expected, [&](const auto& one, const auto& other) {
      return goal_->better(one.first, other.first);
    });
    const Assignment& best = expected.front().first;
    shape_ = expected.front().second;
    meet_goal(shape_->name, *shape_, shape_->sensitivities);
    for (const auto& [assignment, shape] : expected | std::views::drop(1)) {
      if (!goal_->nearly_as_good(assignment, best)) break;
      if (!time_for(candidate_seconds_, shape->name)) break;
      if (meet_goal(shape->name, *shape, shape->sensitivities)) shape_ = shape;
    }
    if (report_.candidates.empty()) throw goal_->nothing_to_do();
  }

  // No choices are expected to meet the goal; a shape that was measured may.
  void give_up() {
    shape_ = nullptr;
    if (!report_.candidates.empty() && goal_->met_by(report_.candidates[report_.best])) return;
    if (all_shapes_) throw goal_->unreachable(smallest());
    throw bad_usage(
        "--time-limit: {:.0f} s are too few to make every shape, and those that were made do not "
        "reach the goal; give more, or fewer --kinds",
        task_.time_limit);
  }

  bool timed() const { return resource_ == Resource::time; }

  // The shape that can be made the smallest.
  const Sensitivities& smallest() const {
    return std::ranges::min_element(
               shapes_, {},
               [](const ShapedChoices& shape) { return fewest_bytes(shape.sensitivities); })
        ->sensitivities;
  }

  // Other estimates

  // Embedding and head are the largest unit by far, where an error of the estimates costs most.
  void try_other_embeddings() {
    if (shape_ == nullptr) return;
    const std::size_t unit = shape_->table.embeddings();
    const auto best = goal_->allocate(shape_->sensitivities);
    for (const auto& [option, effect] : shape_->sensitivities[unit]) {
      if (option == best->options[unit]) continue;
      const Sensitivities fixed = with_fixed(shape_->sensitivities, unit, option);
      const auto other = goal_->allocate(fixed);
      if (!other || !goal_->nearly_as_good(*other, *best)) continue;
      const std::string& name = shape_->table.choices[unit][option].name;
      if (!time_for(candidate_seconds_, name)) return;
      meet_goal(name, *shape_, fixed);
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
    if (!task_.learned_rounding || shape_ == nullptr || deadline_.passed()) return;
    if (!learned_rounding_installed()) {
      report_.notes.emplace_back("AutoRound was not tried: the training module is not installed");
      return;
    }
    if (deadline_.limited() && !time_for(learning_seconds(), "learned rounding")) return;
    ShapedChoices learned = *shape_;
    std::vector<std::vector<double>> shares;
    for (std::vector<Choice>& choices : learned.table.choices) {
      shares.emplace_back(choices.size(), 1.0);
      for (std::size_t i = 1; i < choices.size(); ++i) {
        const auto made = with_learned_rounding(choices[i]);
        if (!made) continue;
        const double share = learned_share(choices[i], *made);
        if (share >= 1) continue;
        shares.back()[i] = share;
        choices[i] = *made;
      }
    }
    const Sensitivities expected =
        scaled(shape_->sensitivities,
               [&](std::size_t unit, std::size_t option) { return shares[unit][option]; });
    meet_goal("learned rounding", learned, expected);
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
  Resource resource_;
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
  std::vector<ShapedChoices> shapes_;  // the first is the model as it is
  // Of the best candidate; null where no choices are expected to meet the goal.
  const ShapedChoices* shape_ = nullptr;
  bool all_shapes_ = true;  // that there are were measured
  std::set<std::string> tried_;
  double candidate_seconds_ = 0;
  SearchReport report_;
};

}  // namespace

SearchReport search(const SearchTask& task, Progress& progress) {
  return Search(task, progress).run();
}

}  // namespace terse
