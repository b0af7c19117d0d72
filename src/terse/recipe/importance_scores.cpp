#include "terse/recipe/importance_scores.h"

#include <utility>

#include "terse/core/error.h"
#include "terse/recipe/selector.h"

namespace terse {
namespace {

// w g stays what it was when a weight is scaled and its input divided; g alone does not.
void require_unscaled(const Schedule& schedule, const LinearPlace& place, const LinearStep& step) {
  for (const BlockStep& before : schedule.block_steps()) {
    if (!schedule.chosen(before.step, place.block)) continue;
    throw bad_usage(
        "{}: {} scales weights, whose Fisher information {} reads as it was before; use score "
        "taylor, or let {} come in a later pass",
        place.module, before.info->name, step.info->name, before.info->name);
  }
}

}  // namespace

ImportanceScores::ImportanceScores(const std::filesystem::path& file, Checkpoint scored)
    : file_(ImportanceFile::open(file)), scored_(std::move(scored)) {}

void ImportanceScores::check(const Model& model, const Schedule& schedule) const {
  const Architecture& a = model.architecture();
  for (const LinearPlace& place : linear_places(model)) {
    for (const LinearStep& step : schedule.linear_steps(place.block, place.role)) {
      const auto score = step.method->importance();
      if (!score) continue;
      file_.require_weight(place.module, *score, a.out_features(place.role),
                           a.in_features(place.role));
      if (*score == ImportanceScore::fisher) require_unscaled(schedule, place, step);
    }
  }
}

Matrix ImportanceScores::read(const std::string& module, ImportanceScore score) const {
  file_.require_scored(module, scored_.tensor(module + ".weight"));
  return file_.weight_scores(module, score);
}

}  // namespace terse
