#include "terse/search/candidates.h"

#include <fmt/format.h>

#include <utility>

#include "terse/core/digest.h"
#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/eval/divergence.h"
#include "terse/formats/staging_directory.h"
#include "terse/model/inventory.h"
#include "terse/recipe/compress.h"

namespace terse {

CandidateRuns::CandidateRuns(const Model& model, const Windows& windows,
                             CalibrationSettings calibration, bool timed,
                             std::filesystem::path folder, Measurements& measurements,
                             Progress& progress)
    : model_(model),
      windows_(windows),
      calibration_(std::move(calibration)),
      timed_(timed),
      folder_(std::move(folder)),
      measurements_(measurements),
      progress_(progress),
      parameters_(take_inventory(model).parameters) {
  for (const Window& window : windows.windows) {
    positions_.push_back(static_cast<double>(window.end - window.score_from));
  }
}

Recipe CandidateRuns::calibrated(Recipe recipe) const {
  recipe.calibration = calibration_;
  return recipe;
}

// Where the tokens lie does not matter.
std::string CandidateRuns::key_of(const Recipe& recipe) const {
  Recipe uncalibrated = recipe;
  uncalibrated.calibration = {};
  Digest digest;
  digest.add(to_json(uncalibrated).dump());
  const std::string timed = timed_ ? fmt::format("-on-{}-threads", thread_count()) : "";
  return fmt::format("recipe-{}{}", digest.text(), timed);
}

Json CandidateRuns::measure(const Recipe& recipe) const {
  // One that was being made when a process ended is continued.
  const std::filesystem::path output = folder_ / key_of(recipe);
  const CompressionReport report =
      compress(model_.checkpoint().dir(), output, calibrated(recipe), {.force = true}, progress_);
  const Model made = Model::load(output);
  const DivergenceResult result = divergence(model_, made, windows_, progress_);
  const double seconds = timed_ ? token_seconds(Model::load(output, ActivationType::int8)) : 0.0;
  with_filesystem_errors([&] { std::filesystem::remove_all(output); });
  return {{"bytes", report.bytes_after},
          {"held", held_bytes(made)},
          {"token_seconds", seconds},
          {"window_kl", result.window_kl}};
}

Candidate CandidateRuns::run(const std::string& name, double expected_kl, const Recipe& recipe) {
  const std::string key = key_of(recipe);
  if (measurements_.find(key) == nullptr) measurements_.add(key, measure(recipe));
  return with_context(measurements_.path().string(),
                      [&] { return parse(name, expected_kl, recipe, *measurements_.find(key)); });
}

Candidate CandidateRuns::parse(const std::string& name, double expected_kl, const Recipe& recipe,
                               const Json& found) const {
  Candidate candidate{name, expected_kl, recipe, {}, 0, 0, {}, {}};
  candidate.sizes.stored = static_cast<std::uint64_t>(get_integer(found, "bytes"));
  candidate.sizes.held = static_cast<std::uint64_t>(get_integer(found, "held"));
  candidate.token_seconds = get_number(found, "token_seconds");
  candidate.bits_per_weight =
      8.0 * static_cast<double>(candidate.sizes.stored) / static_cast<double>(parameters_);
  for (const Json& sum : get_array(found, "window_kl")) {
    candidate.window_kl.push_back(sum.is_number() ? sum.get<double>() : 0.0);
  }
  if (candidate.window_kl.size() != positions_.size()) {
    throw bad_input("holds a candidate of {} windows, expected {}; use --restart to begin again",
                    candidate.window_kl.size(), positions_.size());
  }
  candidate.kl = blocked_mean(candidate.window_kl, positions_);
  return candidate;
}

}  // namespace terse
