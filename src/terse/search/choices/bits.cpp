// Bits: integers of 2 to 8 bits in groups, rounded by GPTQ.
#include <fmt/format.h>

#include "terse/search/choice.h"

namespace terse {
namespace {

// Finer grids cost bytes that pay off where there are few bits alone.
std::vector<int> group_sizes(int bits) {
  return bits <= 4 ? std::vector<int>{32, 64, 128} : std::vector<int>{128};
}

// Columns by falling activation, with grids fitted beforehand or, which the file pays for with an
// index of every column, as they come.
Choice choice(int bits, int group, bool fitted) {
  return {fmt::format("gptq {} bits group {}{}", bits, group, fitted ? "" : " indexed"),
          {step_of("gptq", {{"bits", std::to_string(bits)},
                            {"group_size", std::to_string(group)},
                            {"clip", "mse"},
                            {"desc_act", "true"},
                            {"static_groups", fitted ? "true" : "false"}})}};
}

std::vector<Choice> choices(const Unit& unit) {
  std::vector<Choice> all;
  if (unit.is_embeddings()) return all;
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : group_sizes(bits)) {
      all.push_back(choice(bits, group, true));
      if (bits <= 3) all.push_back(choice(bits, group, false));
    }
  }
  return all;
}

const ChoiceKindRegistration kRegistration(
    {"bits", "linears by GPTQ at 2 to 8 bits, in groups of 32 to 128", choices});

}  // namespace
}  // namespace terse
