// Distillation by logits: the facts. The work is done in train/methods/distill.cpp.
#include "terse/methods/learn/divergence_kind.h"
#include "terse/methods/learning_rules.h"
#include "terse/methods/training.h"

namespace terse {
namespace {

class DistillRules : public LearningRules {
 public:
  bool from_teacher(const MethodOptions& /*options*/) const override { return true; }
};

const LearningMethodRegistration registration(
    {"distill", "learn", "Train the model to predict what the recipe's input predicts",
     "Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 "
     "(arXiv:1503.02531)",
     MethodScope::model, MethodNeed::gradients,
     with_training_options(
         3e-4,
         {{"divergence", "forward_kl", "Divergence from the teacher that is minimised",
           divergence_names(), -1e300, 1e300, true},
          {"skew", 0.1, "Share of the teacher in the mixture of the last three", {}, 0, 1, true},
          {"temperature", 1.0, "Of both distributions", {}, 0.01, 100, true},
          {"distill_weight",
           1.0,
           "Of the divergence; the rest is the text's own tokens",
           {},
           0,
           1,
           true}})},
    std::make_unique<DistillRules>());

}  // namespace
}  // namespace terse
