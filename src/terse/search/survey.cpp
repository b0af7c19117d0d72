#include "terse/search/survey.h"

#include <fmt/format.h>

#include <numeric>
#include <utility>

#include "terse/search/draft.h"

namespace terse {
namespace {

double mean(const std::vector<double>& sums, const std::vector<double>& counts) {
  return std::accumulate(sums.begin(), sums.end(), 0.0) /
         std::accumulate(counts.begin(), counts.end(), 0.0);
}

std::string key_of(const std::string& background, const Unit& unit, const Choice& choice) {
  return fmt::format("{} / {} / {}", background, unit.name, choice.name);
}

// Linears of a unit that are not measured count as the one that is.
double linears(const Unit& unit) {
  return unit.is_embeddings() ? 1.0 : static_cast<double>(unit.places.size());
}

}  // namespace

Recipe ChoiceTable::recipe(const std::vector<std::size_t>& options, const Recipe& settings) const {
  std::vector<const Choice*> chosen;
  for (std::size_t i = 0; i < units.size(); ++i) chosen.push_back(&choices[i][options[i]]);
  return recipe_of(units, chosen, settings);
}

Deadline::Deadline(double seconds)
    : limited_(seconds > 0),
      end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                              std::chrono::duration<double>(limited_ ? seconds : 0))) {}

double Deadline::left() const {
  if (!limited_) return 1e300;
  return std::chrono::duration<double>(end_ - Clock::now()).count();
}

Sensitivities survey(Laboratory& laboratory, const ChoiceTable& table,
                     const std::vector<std::vector<std::size_t>>& asked,
                     const std::string& background, Measurements& measurements,
                     const Deadline& deadline, Progress& progress) {
  Sensitivities found(table.units.size());
  std::vector<Trial> trials;
  std::vector<std::pair<std::size_t, std::size_t>> places;
  const double base = mean(laboratory.background_kl(), laboratory.window_positions());
  const auto enter = [&](std::size_t unit, std::size_t option, const Json& value) {
    found[unit][option] = {value.at("bytes").get<std::uint64_t>(),
                           (value.at("kl").get<double>() - base) * linears(table.units[unit])};
  };
  for (std::size_t unit = 0; unit < table.units.size(); ++unit) {
    for (const std::size_t option : asked[unit]) {
      const Choice& choice = table.choices[unit][option];
      if (const Json* known = measurements.find(key_of(background, table.units[unit], choice))) {
        enter(unit, option, *known);
      } else {
        trials.push_back({&table.units[unit], &choice});
        places.emplace_back(unit, option);
      }
    }
  }
  progress.begin("measuring", static_cast<std::int64_t>(trials.size()), "choices");
  laboratory.measure(trials, [&](std::size_t trial, const Effect& effect) {
    const auto [unit, option] = places[trial];
    const Json value = {{"bytes", effect.bytes},
                        {"kl", mean(effect.window_kl, laboratory.window_positions())}};
    measurements.add(key_of(background, table.units[unit], table.choices[unit][option]), value);
    enter(unit, option, value);
    progress.advance(1);
    return !deadline.passed();
  });
  progress.end();
  return found;
}

}  // namespace terse
