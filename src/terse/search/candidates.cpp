#include "terse/search/candidates.h"

#include <fmt/format.h>

#include <utility>

#include "terse/core/digest.h"
#include "terse/eval/divergence.h"
#include "terse/formats/staging_directory.h"
#include "terse/recipe/compress.h"

namespace terse {

CandidateRuns::CandidateRuns(const Model& model, const Windows& windows,
                             CalibrationSettings calibration, std::filesystem::path folder,
                             Measurements& measurements, Progress& progress)
    : model_(model),
      windows_(windows),
      calibration_(std::move(calibration)),
      folder_(std::move(folder)),
      measurements_(measurements),
      progress_(progress) {
  for (const Window& window : windows.windows) {
    positions_.push_back(static_cast<double>(window.end - window.score_from));
  }
}

Recipe CandidateRuns::calibrated(Recipe recipe) const {
  recipe.calibration = calibration_;
  return recipe;
}

// Where the tokens lie does not matter.
std::string CandidateRuns::key_of(const Recipe& recipe) {
  Recipe uncalibrated = recipe;
  uncalibrated.calibration = {};
  Digest digest;
  digest.add(to_json(uncalibrated).dump());
  return fmt::format("recipe-{}", digest.text());
}

Json CandidateRuns::measure(const Recipe& recipe) const {
  // One that was being made when a process ended is continued.
  const std::filesystem::path output = folder_ / key_of(recipe);
  const CompressionReport report =
      compress(model_.checkpoint().dir(), output, calibrated(recipe), {.force = true}, progress_);
  const Model made = Model::load(output);
  const DivergenceResult result = divergence(model_, made, windows_, progress_);
  with_filesystem_errors([&] { std::filesystem::remove_all(output); });
  return {{"bytes", report.bytes_after},
          {"bits_per_weight", report.bits_per_weight},
          {"window_kl", result.window_kl}};
}

Candidate CandidateRuns::run(const std::string& name, double expected_kl, const Recipe& recipe) {
  const std::string key = key_of(recipe);
  if (measurements_.find(key) == nullptr) measurements_.add(key, measure(recipe));
  const Json& found = *measurements_.find(key);
  Candidate candidate{name,
                      expected_kl,
                      recipe,
                      found.at("bytes").get<std::uint64_t>(),
                      found.at("bits_per_weight").get<double>(),
                      {},
                      found.at("window_kl").get<std::vector<double>>()};
  candidate.kl = blocked_mean(candidate.window_kl, positions_);
  return candidate;
}

}  // namespace terse
