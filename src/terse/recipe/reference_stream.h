// Another model on activations of its own, beside the one that is compressed.
#pragma once

#include <cstdint>
#include <filesystem>

#include "terse/model/model.h"
#include "terse/recipe/calibration_stream.h"

namespace terse {

/// Goes through the blocks of a model one after another. A run that goes on has to come through
/// those that are finished, too: activations are not kept.
class ReferenceStream {
 public:
  /// `memory` bytes of activations may be held; the rest goes to a file in `directory`.
  ReferenceStream(Model model, const CalibrationTokens& tokens, std::uint64_t memory,
                  const std::filesystem::path& directory);
  ReferenceStream(const ReferenceStream&) = delete;
  ReferenceStream& operator=(const ReferenceStream&) = delete;

  /// Brings the activations to where a block begins, and loads it. Blocks rise.
  void enter(std::int64_t block);

  /// Applies the rest of the block that was entered, and frees it.
  void leave();

  const Model& model() const { return model_; }
  CalibrationStream& stream() { return stream_; }

 private:
  Model model_;
  CalibrationStream stream_;
  std::int64_t block_ = 0;  // that the activations go into
};

}  // namespace terse
