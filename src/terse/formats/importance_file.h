// The file of importance scores that `terse importance` writes and steps of recipes read: float32
// safetensors (docs/importance.md lists the tensors).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "terse/formats/safetensors.h"

namespace terse {

/// Empirical Fisher information, and the first-order change of the loss.
enum class ImportanceScore { fisher, taylor };

inline constexpr ImportanceScore kImportanceScores[] = {ImportanceScore::fisher,
                                                        ImportanceScore::taylor};

/// "fisher", "taylor".
std::string_view score_name(ImportanceScore score);

/// The name of a tensor of scores: "model.layers.0.mlp.up_proj.weight.fisher" of `owner`
/// "model.layers.0.mlp.up_proj" and `part` "weight".
std::string importance_tensor(const std::string& owner, std::string_view part,
                              ImportanceScore score);

/// Metadata that says that a file holds scores, and the version of its layout.
inline constexpr const char* kImportanceKey = "terse_importance";
inline constexpr const char* kImportanceVersion = "1";

/// The metadata key of the digest of the weight that a module was scored with.
std::string importance_digest_key(const std::string& module);

/// The digest of a weight's bytes as a checkpoint stores them.
std::string weight_digest(const Tensor& weight);

/// The file, mapped for reading; values are read when asked for and given back at once.
class ImportanceFile {
 public:
  /// Errors: bad_input when it is no safetensors file, or none of scores.
  static ImportanceFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }

  /// Checks the header for the scores of a weight [rows, columns]. Errors: bad_input naming the
  /// tensor when it is missing or of another shape or type.
  void require_weight(const std::string& module, ImportanceScore score, std::int64_t rows,
                      std::int64_t columns) const;

  /// The scores of a module's weight [out, in]. Errors: bad_input naming the tensor when one is not
  /// finite or below 0.
  Matrix weight_scores(const std::string& module, ImportanceScore score) const;

  /// Errors: bad_input naming the module when it was scored with another weight than this, as its
  /// checkpoint stores it.
  void require_scored(const std::string& module, const Tensor& weight) const;

 private:
  explicit ImportanceFile(SafetensorsFile file) : file_(std::move(file)) {}

  SafetensorsFile file_;
};

}  // namespace terse
