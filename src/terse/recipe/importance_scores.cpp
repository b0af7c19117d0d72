#include "terse/recipe/importance_scores.h"

#include <algorithm>
#include <utility>

#include "terse/core/error.h"
#include "terse/recipe/selector.h"

namespace terse {
namespace {

// w g stays what it was when a weight is scaled and its input divided; g alone does not.
void require_unscaled(const Schedule& schedule, const LinearPlace& place, const LinearStep& step) {
  const bool scaled_now = std::ranges::any_of(schedule.block_steps(), [&](const BlockStep& before) {
    return schedule.chosen(before.step, place.block);
  });
  if (!scaled_now && !schedule.scaled_before(place.block)) return;
  throw bad_usage(
      "{}: an earlier step scales weights, whose Fisher information {} reads as it was before; "
      "use score taylor, or let {} come first",
      place.module, step.info->name, step.info->name);
}

}  // namespace

ImportanceScores::ImportanceScores(const std::filesystem::path& file, Checkpoint scored)
    : file_(ImportanceFile::open(file)), scored_(std::move(scored)) {}

void ImportanceScores::check(const Model& model, const Schedule& schedule) const {
  const Architecture& a = model.architecture();
  for (const LinearPlace& place : linear_places(model)) {
    for (const LinearStep& step : schedule.linear_steps(place.block, place.key())) {
      const auto score = step.method->importance();
      if (!score) continue;
      file_.require_weight(place.module, *score, a.out_features(place.block, place.role),
                           a.in_features(place.block, place.role));
      if (*score == ImportanceScore::fisher) require_unscaled(schedule, place, step);
    }
  }
}

Matrix ImportanceScores::read(const std::string& module, ImportanceScore score) const {
  file_.require_scored(module, scored_.tensor(module + ".weight"));
  return file_.weight_scores(module, score);
}

}  // namespace terse
