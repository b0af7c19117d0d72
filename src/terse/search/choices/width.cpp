// Width: fewer MLP channels, or heads too, in every block, made up for by least squares.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "terse/model/kept_units.h"
#include "terse/search/choice.h"

namespace terse {
namespace {

constexpr double kShares[] = {0.875, 0.75, 0.625, 0.5};

// What stays of every block.
struct Sizes {
  std::int64_t channels;
  std::int64_t heads;

  auto operator<=>(const Sizes&) const = default;
};

// So much of `all` as comes nearest to a share and is a multiple.
std::int64_t part(std::int64_t all, double share, std::int64_t multiple) {
  const double multiples = share * static_cast<double>(all) / static_cast<double>(multiple);
  return multiple * std::max<std::int64_t>(1, std::lrint(multiples));
}

// Channels that stay make whole groups of the integers that may come after, where the MLP is wide
// enough for that.
std::int64_t multiple_of_channels(const BlockShape& shape) {
  std::int64_t multiple = 128;
  while (multiple > 16 && shape.intermediate_size < 6 * multiple) multiple /= 2;
  return multiple;
}

std::set<Sizes> sizes_of(const Architecture& a) {
  const BlockShape shape = a.shape(0);
  const std::int64_t heads = shape.num_attention_heads;
  std::set<Sizes> all;
  if (!a.has_mlp(0)) return all;
  for (const double share : kShares) {
    const std::int64_t channels = part(shape.intermediate_size, share, multiple_of_channels(shape));
    all.insert({channels, heads});
    if (a.has_attention(0)) {
      all.insert({channels, part(heads, share, queries_per_key_value_head(a, 0))});
    }
  }
  std::erase_if(all, [&](const Sizes& sizes) {
    return sizes.channels >= shape.intermediate_size || sizes.heads > heads;
  });
  return all;
}

std::vector<Choice> shapes(const ShapeQuestions& questions) {
  const std::int64_t all_heads = questions.architecture.shape(0).num_attention_heads;
  std::vector<Choice> all;
  for (const Sizes& sizes : sizes_of(questions.architecture)) {
    std::map<std::string, std::string> options{
        {"intermediate_size", std::to_string(sizes.channels)}};
    std::string name = fmt::format("{} channels", sizes.channels);
    if (sizes.heads < all_heads) {
      options["num_attention_heads"] = std::to_string(sizes.heads);
      name += fmt::format(", {} heads", sizes.heads);
    }
    all.push_back({name, {step_of("wanda_sp", options)}});
  }
  return all;
}

const ChoiceKindRegistration kRegistration(
    {.name = "width",
     .summary = "down to half of the channels, or of channels and heads, by wanda_sp",
     .shapes = shapes});

}  // namespace
}  // namespace terse
