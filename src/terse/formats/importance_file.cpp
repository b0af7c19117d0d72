#include "terse/formats/importance_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "terse/core/digest.h"
#include "terse/core/error.h"

namespace terse {

std::string_view score_name(ImportanceScore score) {
  return score == ImportanceScore::fisher ? "fisher" : "taylor";
}

std::string importance_tensor(const std::string& owner, std::string_view part,
                              ImportanceScore score) {
  return fmt::format("{}.{}.{}", owner, part, score_name(score));
}

std::string importance_digest_key(const std::string& module) {
  return module + ".digest";
}

std::string weight_digest(const Tensor& weight) {
  Digest digest;
  digest.add(weight.bytes());
  return digest.text();
}

ImportanceFile ImportanceFile::open(const std::filesystem::path& path) {
  SafetensorsFile file = SafetensorsFile::open(path);
  const auto version = file.metadata().find(kImportanceKey);
  if (version == file.metadata().end()) {
    throw bad_input(
        "{}: holds no importance scores (its metadata has no {}); make some with "
        "`terse importance`",
        path.string(), kImportanceKey);
  }
  if (version->second != kImportanceVersion) {
    throw bad_input("{}: importance scores of version '{}' found where {} is read; make them again",
                    path.string(), version->second, kImportanceVersion);
  }
  return ImportanceFile(std::move(file));
}

void ImportanceFile::require_weight(const std::string& module, ImportanceScore score,
                                    std::int64_t rows, std::int64_t columns) const {
  const std::string name = importance_tensor(module, "weight", score);
  if (!file_.contains(name)) {
    throw bad_input("{}: has no {}: the scores are of another model; make them with this one",
                    path().string(), name);
  }
  const Tensor tensor = file_.tensor(name);
  if (tensor.shape() == Shape{rows, columns} && tensor.dtype() == DType::f32) return;
  throw bad_input(
      "{}: {} is {} {} where the model asks for F32 {}: the scores are of another model; make them "
      "with this one",
      path().string(), name, dtype_name(tensor.dtype()), shape_text(tensor.shape()),
      shape_text({rows, columns}));
}

Matrix ImportanceFile::weight_scores(const std::string& module, ImportanceScore score) const {
  const std::string name = importance_tensor(module, "weight", score);
  Matrix scores = file_.tensor(name).to_matrix();
  file_.drop_pages(name);
  const std::span<const float> values(scores.data(), static_cast<std::size_t>(scores.size()));
  const auto is_below_zero = [](float value) { return value < 0.0F; };
  if (!all_finite(values) || std::ranges::any_of(values, is_below_zero)) {
    throw bad_input("{}: {} holds a score that is not finite or below 0; make the scores again",
                    path().string(), name);
  }
  return scores;
}

void ImportanceFile::require_scored(const std::string& module, const Tensor& weight) const {
  const auto digest = file_.metadata().find(importance_digest_key(module));
  if (digest != file_.metadata().end() && digest->second == weight_digest(weight)) return;
  throw bad_input(
      "{}: {} was scored with another weight than the model has: the scores are of another model; "
      "make them with this one",
      path().string(), module);
}

}  // namespace terse
