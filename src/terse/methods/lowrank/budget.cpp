#include "terse/methods/lowrank/budget.h"

#include <cstddef>

#include "terse/core/error.h"

namespace terse {
namespace {

// To a later choice of a list; none where `to` is 0.
struct Step {
  std::size_t to = 0;
  double cost = 0;
  double rate = 0;  // won for each unit of cost
};

Step best_step(const std::vector<Choice>& choices, std::size_t from, double room) {
  Step best;
  for (std::size_t to = from + 1; to < choices.size(); ++to) {
    const double cost = choices[to].cost - choices[from].cost;
    if (cost > room) break;
    const double rate = (choices[from].loss - choices[to].loss) / cost;
    if (rate > best.rate) best = {to, cost, rate};
  }
  return best;
}

}  // namespace

std::vector<std::size_t> choose_within(const std::vector<std::vector<Choice>>& lists,
                                       double budget) {
  double room = budget;
  for (const std::vector<Choice>& choices : lists) room -= choices.front().cost;
  if (room < 0) {
    throw bad_usage("a budget of {} is below {}, the least that can be chosen", budget,
                    budget - room);
  }
  std::vector<std::size_t> chosen(lists.size(), 0);
  std::vector<Step> next;
  for (const std::vector<Choice>& choices : lists) next.push_back(best_step(choices, 0, room));
  while (true) {
    std::size_t best = 0;
    for (std::size_t i = 0; i < lists.size(); ++i) {
      if (next[i].to > 0 && next[i].cost > room) next[i] = best_step(lists[i], chosen[i], room);
      if (next[i].rate > next[best].rate) best = i;
    }
    if (lists.empty() || next[best].to == 0) return chosen;
    room -= next[best].cost;
    chosen[best] = next[best].to;
    next[best] = best_step(lists[best], chosen[best], room);
  }
}

}  // namespace terse
