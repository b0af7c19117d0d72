#include "terse/methods/sharing/groups.h"

#include <algorithm>

namespace terse {
namespace {

std::int64_t group_of(const std::string& order, std::int64_t block, std::int64_t blocks,
                      std::int64_t groups) {
  if (order == "sequence") return block * groups / blocks;
  const std::int64_t rounds = (blocks + groups - 1) / groups;
  const bool last_round = rounds > 1 && block >= (rounds - 1) * groups;
  return order == "cycle_reversed" && last_round ? rounds * groups - block - 1 : block % groups;
}

}  // namespace

std::vector<std::int64_t> tied_blocks(const std::string& order, std::int64_t blocks,
                                      std::int64_t groups) {
  std::vector<std::int64_t> group(static_cast<std::size_t>(blocks));
  for (std::int64_t block = 0; block < blocks; ++block) {
    group[static_cast<std::size_t>(block)] = group_of(order, block, blocks, groups);
  }
  std::vector<std::int64_t> first;
  for (const std::int64_t each : group) {
    first.push_back(std::ranges::find(group, each) - group.begin());
  }
  return first;
}

}  // namespace terse
