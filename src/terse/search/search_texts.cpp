#include "terse/search/search_texts.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/file.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

// Text that the model writes itself takes long: it is kept.
CalibrationTokens tokens_of(const Checkpoint& checkpoint, const CalibrationSettings& settings,
                            const std::string& key, Measurements& measurements,
                            Progress& progress) {
  Model model(std::make_shared<const Checkpoint>(checkpoint));
  if (!settings.self_generated()) return calibration_tokens(settings, model, progress);
  if (measurements.find(key) == nullptr) {
    const CalibrationTokens tokens = calibration_tokens(settings, model, progress);
    measurements.add(key, {{"window", tokens.window}, {"windows", tokens.windows}});
  }
  const Json& kept = *measurements.find(key);
  CalibrationTokens tokens{get_integer(kept, "window"),
                           get_array(kept, "windows").get<std::vector<std::vector<std::int32_t>>>(),
                           "self-generated"};
  check_tokens(tokens, model);
  return tokens;
}

Windows measured_windows(const Checkpoint& checkpoint, const CalibrationSettings& calibration,
                         const ScoredText& text, Measurements& measurements, Progress& progress) {
  if (!text.texts.empty() || !text.token_file.empty()) {
    return read_windows(text, Model(std::make_shared<const Checkpoint>(checkpoint)));
  }
  CalibrationSettings own;
  own.samples = text.samples;
  own.window = text.window;
  // Seeds of calibration's windows follow one another.
  own.seed = calibration.seed + (std::uint64_t{1} << 32);
  const CalibrationTokens written = tokens_of(checkpoint, own, "text", measurements, progress);
  std::vector<std::int32_t> ids;
  for (const auto& window : written.windows) ids.insert(ids.end(), window.begin(), window.end());
  return cut_windows(std::move(ids), written.window);
}

}  // namespace

SearchTexts read_search_texts(const Checkpoint& checkpoint, const CalibrationSettings& calibration,
                              const ScoredText& text, const fs::path& folder,
                              Measurements& measurements, Progress& progress) {
  SearchTexts texts;
  texts.calibration = tokens_of(checkpoint, calibration, "calibration", measurements, progress);
  texts.candidates.token_file = folder / "calibration.json";
  texts.candidates.samples = static_cast<std::int64_t>(texts.calibration.windows.size());
  texts.candidates.window = texts.calibration.window;
  write_file(texts.candidates.token_file, Json(texts.calibration.windows).dump());
  texts.windows = measured_windows(checkpoint, calibration, text, measurements, progress);
  return texts;
}

}  // namespace terse
