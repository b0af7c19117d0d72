// Width: fewer heads and MLP channels in every block, made up for by least squares.
#include <fmt/format.h>

#include "terse/search/choice.h"

namespace terse {
namespace {

// Channels that stay make whole groups of the integers that may come after, where the MLP is wide
// enough for that.
std::string multiple_for(const Architecture& a) {
  std::int64_t multiple = 128;
  while (multiple > 16 && a.shape(0).intermediate_size < 6 * multiple) multiple /= 2;
  return std::to_string(multiple);
}

std::vector<Choice> shapes(const ShapeQuestions& questions) {
  const std::string multiple = multiple_for(questions.architecture);
  std::vector<Choice> all;
  for (const char* units : {"channels", "all"}) {
    for (const char* ratio : {"0.1", "0.2", "0.3", "0.4"}) {
      all.push_back({fmt::format("wanda_sp {} {}", ratio, units),
                     {step_of("wanda_sp",
                              {{"ratio", ratio}, {"units", units}, {"multiple", multiple}})}});
    }
  }
  return all;
}

const ChoiceKindRegistration kRegistration(
    {.name = "width", .summary = "fewer heads and channels by wanda_sp", .shapes = shapes});

}  // namespace
}  // namespace terse
