// Depth: without the blocks that predictions miss least.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "terse/search/choice.h"

namespace terse {
namespace {

// Shapes at most, evenly spread up to half of the blocks.
constexpr std::int64_t kShapes = 4;

// From the block that is missed least to the one that is missed most.
std::vector<std::int64_t> by_loss(const ShapeQuestions& questions) {
  std::vector<double> losses;
  for (std::int64_t block = 0; block < questions.architecture.num_hidden_layers; ++block) {
    losses.push_back(questions.kl_without(block));
  }
  std::vector<std::int64_t> blocks(losses.size());
  std::iota(blocks.begin(), blocks.end(), std::int64_t{0});
  std::ranges::stable_sort(
      blocks, {}, [&](std::int64_t block) { return losses[static_cast<std::size_t>(block)]; });
  return blocks;
}

std::vector<Choice> shapes(const ShapeQuestions& questions) {
  const std::int64_t most = questions.architecture.num_hidden_layers / 2;
  const std::int64_t count = std::min(most, kShapes);
  std::vector<Choice> all;
  if (count == 0) return all;
  const std::vector<std::int64_t> order = by_loss(questions);
  for (std::int64_t i = 1; i <= count; ++i) {
    const std::int64_t gone = i * most / count;
    std::vector<std::int64_t> stay(order.begin() + gone, order.end());
    std::ranges::sort(stay);
    all.push_back({fmt::format("without {} block{}", gone, gone == 1 ? "" : "s"),
                   {step_of("keep", {{"blocks", fmt::format("{}", fmt::join(stay, ","))}})}});
  }
  return all;
}

const ChoiceKindRegistration kRegistration(
    {.name = "depth",
     .summary = "without the blocks that are missed least, up to half of them",
     .shapes = shapes});

}  // namespace
}  // namespace terse
