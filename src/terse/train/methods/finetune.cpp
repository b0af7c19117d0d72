// All weights on the text's own tokens.
#include "terse/train/methods/learning_method.h"

namespace terse::train {
namespace {

class Finetune : public LearningMethod {
 public:
  TrainingChoice choice(const LearningProblem& problem,
                        const torch::Device& device) const override {
    return {[&problem, device](std::int64_t block, const LinearKey& key, const Linear& linear) {
      return as_stored(problem, block, key, linear, device);
    }};
  }
};

const LearningMethodEntry<Finetune> finetune_entry("finetune");

}  // namespace
}  // namespace terse::train
