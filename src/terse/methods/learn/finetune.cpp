// Fine-tuning: the facts. The work is done in train/methods/finetune.cpp.
#include "terse/methods/learning_rules.h"
#include "terse/methods/training.h"

namespace terse {
namespace {

const LearningMethodRegistration registration(
    {"finetune", "learn", "Train all weights on text; zeros that were pruned stay zero",
     "Sanh, Wolf, Rush: Movement Pruning: Adaptive Sparsity by Fine-Tuning, NeurIPS 2020, section "
     "3 (arXiv:2005.07683): masked fine-tuning",
     MethodScope::model, MethodNeed::gradients, with_training_options(3e-4, {})});

}  // namespace
}  // namespace terse
