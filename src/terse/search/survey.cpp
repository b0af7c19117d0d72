#include "terse/search/survey.h"

#include <fmt/format.h>

#include <numeric>
#include <utility>

#include "terse/core/error.h"

namespace terse {
namespace {

double mean(const std::vector<double>& sums, const std::vector<double>& counts) {
  return std::accumulate(sums.begin(), sums.end(), 0.0) /
         std::accumulate(counts.begin(), counts.end(), 0.0);
}

// Linears of a unit that are not measured count as the one that is.
double linears(const Unit& unit) {
  return unit.is_embeddings() ? 1.0 : static_cast<double>(unit.places.size());
}

}  // namespace

Deadline::Deadline(double seconds)
    : limited_(seconds > 0),
      end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                              std::chrono::duration<double>(limited_ ? seconds : 0))) {}

double Deadline::left() const {
  if (!limited_) return 1e300;
  return std::chrono::duration<double>(end_ - Clock::now()).count();
}

std::string Survey::key_of(std::size_t unit, std::size_t option) const {
  return fmt::format("{}: {}", table_.units[unit].name, table_.choices[unit][option].name);
}

Sensitivities Survey::measure(const Asked& asked) {
  Sensitivities found(table_.units.size());
  std::vector<Trial> trials;
  std::vector<std::pair<std::size_t, std::size_t>> places;
  const std::vector<double>& positions = laboratory_.window_positions();
  const auto enter = [&](std::size_t unit, std::size_t option, const Json& value) {
    const Sizes sizes{static_cast<std::uint64_t>(get_integer(value, "bytes")),
                      static_cast<std::uint64_t>(get_integer(value, "held"))};
    found[unit][option] = {sizes.of(resource_),
                           get_number(value, "kl") * linears(table_.units[unit])};
  };
  for (std::size_t unit = 0; unit < asked.size(); ++unit) {
    for (const std::size_t option : asked[unit]) {
      if (const Json* known = measurements_.find(key_of(unit, option))) {
        with_context(measurements_.path().string(), [&] { enter(unit, option, *known); });
        if (mine_.insert(key_of(unit, option)).second) ++known_;
      } else {
        trials.push_back({&table_.units[unit], &table_.choices[unit][option]});
        places.emplace_back(unit, option);
      }
    }
  }
  progress_.begin("measuring", static_cast<std::int64_t>(trials.size()), "choices");
  laboratory_.measure(trials, [&](std::size_t trial, const Effect& effect) {
    const auto [unit, option] = places[trial];
    const Json value = {{"bytes", effect.sizes.stored},
                        {"held", effect.sizes.held},
                        {"kl", mean(effect.window_kl, positions)}};
    measurements_.add(key_of(unit, option), value);
    enter(unit, option, value);
    mine_.insert(key_of(unit, option));
    ++measured_;
    progress_.advance(1);
    return !deadline_.passed();
  });
  progress_.end();
  return found;
}

}  // namespace terse
