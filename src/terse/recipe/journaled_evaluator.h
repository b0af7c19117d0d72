// Scores that survive whatever ends the process.
#pragma once

#include <cstddef>
#include <functional>

#include "terse/core/progress.h"
#include "terse/methods/evaluator.h"
#include "terse/recipe/journal.h"

namespace terse {

/// Keeps every loss in the first pass of a journal. A method asks the same questions in the same
/// order whenever it runs: what an earlier process was answered is answered at once.
class JournaledEvaluator : public Evaluator {
 public:
  /// All must outlive this; `on_loss` is called when one was added, `progress` is told of each.
  JournaledEvaluator(Evaluator& evaluator, Journal& journal, std::function<void()> on_loss,
                     Progress& progress)
      : evaluator_(evaluator),
        journal_(journal),
        on_loss_(std::move(on_loss)),
        progress_(progress) {}

  double loss(const Model& model) override;

 private:
  Evaluator& evaluator_;
  Journal& journal_;
  std::function<void()> on_loss_;
  Progress& progress_;
  std::size_t asked_ = 0;
};

}  // namespace terse
