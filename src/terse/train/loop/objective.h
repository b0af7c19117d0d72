// What the outputs of a model are trained to.
#pragma once

#include <memory>

#include "terse/train/chunked_loss.h"
#include "terse/train/loop/packed_tokens.h"

namespace terse::train {

class Objective {
 public:
  virtual ~Objective() = default;

  /// The loss of the rows of a batch.
  virtual std::unique_ptr<RowLoss> loss(const TokenBatch& batch) = 0;
};

/// The text's own tokens.
std::unique_ptr<Objective> language_modelling();

}  // namespace terse::train
