#include "terse/search/model_survey.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <vector>

#include "terse/search/survey_plan.h"

namespace terse {
namespace {

// A choice that loses this much more than one of no more bytes is not measured everywhere.
constexpr double kBeaten = 1 / 1.25;

std::int64_t middle_of(const Laboratory& laboratory) {
  return laboratory.model().architecture().num_hidden_layers / 2;
}

// The unit of the middle of the model that a unit is like.
std::size_t middle_unit(const ChoiceTable& table, std::size_t unit, std::int64_t middle) {
  const Unit& own = table.units[unit];
  return own.is_embeddings() ? unit : table.holder(own.places.front().role, middle);
}

// Two choices in the middle of the model are measured, to see how long that takes.
SurveyCost measured_cost(Laboratory& laboratory, const std::vector<Trial>& trials) {
  std::vector<Deadline::Clock::time_point> times{Deadline::Clock::now()};
  laboratory.measure(trials, [&](std::size_t, const Effect&) {
    times.push_back(Deadline::Clock::now());
    return true;
  });
  if (times.size() < 3) return {};
  const auto seconds = [&](std::size_t i) {
    return std::chrono::duration<double>(times[i] - times[i - 1]).count();
  };
  // The walk went half of the way.
  return {2 * std::max(seconds(1) - seconds(2), 0.0), seconds(2)};
}

std::int64_t parts_in_time(Laboratory& laboratory, const ChoiceTable& table, double time_limit) {
  const std::int64_t middle = middle_of(laboratory);
  std::int64_t choices = 0;
  std::vector<Trial> trials;
  for (std::size_t unit = 0; unit < table.units.size(); ++unit) {
    if (middle_unit(table, unit, middle) != unit) continue;
    choices += static_cast<std::int64_t>(table.choices[unit].size()) - 1;
    if (!table.units[unit].is_embeddings() && table.choices[unit].size() > 1 && trials.size() < 2) {
      trials.push_back({&table.units[unit], &table.choices[unit].back()});
    }
  }
  return affordable_parts(laboratory.model().architecture().num_hidden_layers, choices,
                          measured_cost(laboratory, trials), time_limit);
}

// What is known of a unit, as if it had another number of linears.
KnapsackOption resized(const KnapsackOption& option, const Unit& from, const Unit& to) {
  const std::size_t before = from.places.size();
  return {option.weight / before * to.places.size(),
          option.loss * static_cast<double>(to.places.size()) / static_cast<double>(before)};
}

}  // namespace

ChoiceTable cut_into_units(Laboratory& laboratory, const std::set<std::string>& kinds,
                           double time_limit, Measurements& measurements) {
  const std::int64_t blocks = laboratory.model().architecture().num_hidden_layers;
  ChoiceTable table = choice_table(laboratory, blocks, kinds);
  if (time_limit <= 0) return table;
  if (measurements.find("plan") == nullptr) {
    measurements.add("plan", {{"parts", parts_in_time(laboratory, table, time_limit)}});
  }
  const std::int64_t parts = get_integer(*measurements.find("plan"), "parts");
  return choice_table(laboratory, std::clamp<std::int64_t>(parts, 1, blocks), kinds);
}

Sensitivities survey_model(Survey& survey, const Laboratory& laboratory, const ChoiceTable& table,
                           Resource resource, bool& hurried) {
  const std::int64_t middle = middle_of(laboratory);
  Asked asked(table.units.size());
  for (std::size_t unit = 0; unit < table.units.size(); ++unit) {
    if (middle_unit(table, unit, middle) != unit) continue;
    asked[unit].resize(table.choices[unit].size() - 1);
    std::iota(asked[unit].begin(), asked[unit].end(), std::size_t{1});
  }
  const Sensitivities there = survey.measure(asked);
  for (std::size_t unit = 0; unit < table.units.size(); ++unit) {
    const std::size_t same = middle_unit(table, unit, middle);
    if (same != unit) asked[unit] = promising(there[same], kBeaten);
  }
  Sensitivities all = survey.measure(asked);
  hurried = false;
  for (std::size_t unit = 0; unit < table.units.size(); ++unit) {
    all[unit][0] = {laboratory.dense_sizes(table.units[unit]).of(resource), 0.0};
    const std::size_t same = middle_unit(table, unit, middle);
    for (const std::size_t option : asked[unit]) {
      if (all[unit].contains(option) || !there[same].contains(option)) continue;
      all[unit][option] = resized(there[same].at(option), table.units[same], table.units[unit]);
      hurried = true;
    }
  }
  return all;
}

}  // namespace terse
