#include "terse/train/loop/objective.h"

#include "terse/train/losses/cross_entropy.h"

namespace terse::train {
namespace {

class LanguageModelling : public Objective {
 public:
  std::unique_ptr<RowLoss> loss(const TokenBatch& batch) override {
    return std::make_unique<CrossEntropy>(batch.targets);
  }
};

}  // namespace

std::unique_ptr<Objective> language_modelling() {
  return std::make_unique<LanguageModelling>();
}

}  // namespace terse::train
