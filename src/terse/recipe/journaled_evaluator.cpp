#include "terse/recipe/journaled_evaluator.h"

#include <vector>

namespace terse {

double JournaledEvaluator::loss(const Model& model) {
  std::vector<double>& losses = journal_.pass(0).losses;
  if (asked_ == losses.size()) {
    losses.push_back(evaluator_.loss(model));
    journal_.save();
    on_loss_();
  }
  progress_.advance(1);
  return losses[asked_++];
}

}  // namespace terse
