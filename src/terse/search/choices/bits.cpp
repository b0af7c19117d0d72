// Bits: integers of 2 to 8 bits in groups, rounded by GPTQ.
#include <fmt/format.h>

#include "terse/search/choice.h"

namespace terse {
namespace {

// How columns are ordered, and grids fitted.
struct Form {
  const char* name;
  const char* clip;
  const char* static_groups;
};

// Grids fitted beforehand, or as columns come by falling activation, for which the file pays with
// an index of every column.
constexpr Form kFitted{"", "mse", "true"};
constexpr Form kWhole{" whole range", "minmax", "true"};
constexpr Form kIndexed{" indexed", "mse", "false"};

// Finer grids and other forms of them pay off where there are few bits alone.
std::vector<int> group_sizes(int bits) {
  return bits <= 4 ? std::vector<int>{32, 64, 128} : std::vector<int>{128};
}

std::vector<Form> forms(int bits) {
  if (bits <= 3) return {kFitted, kWhole, kIndexed};
  return bits == 4 ? std::vector<Form>{kFitted, kWhole} : std::vector<Form>{kFitted};
}

Choice choice(int bits, int group, const Form& form) {
  return {fmt::format("gptq {} bits group {}{}", bits, group, form.name),
          {step_of("gptq", {{"bits", std::to_string(bits)},
                            {"group_size", std::to_string(group)},
                            {"clip", form.clip},
                            {"desc_act", "true"},
                            {"static_groups", form.static_groups}})}};
}

std::vector<Choice> choices(const Unit& unit) {
  std::vector<Choice> all;
  if (unit.is_embeddings()) return all;
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : group_sizes(bits)) {
      for (const Form& form : forms(bits)) all.push_back(choice(bits, group, form));
    }
  }
  return all;
}

const ChoiceKindRegistration kRegistration(
    {"bits", "linears by GPTQ at 2 to 8 bits, in groups of 32 to 128", choices});

}  // namespace
}  // namespace terse
