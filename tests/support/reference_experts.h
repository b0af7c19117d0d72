// The MLP of families with experts.
#pragma once

#include "support/reference_math.h"
#include "support/reference_model.h"

namespace terse::test {

// Where an MLP with experts has its weights, and how it chooses.
struct ReferenceExperts {
  std::string router;
  std::string experts;  // before the number
  std::string gate;     // after it, with a dot
  std::string up;
  std::string down;
  int count;
  int per_token;
  bool normalised;
  int intermediate;
  std::string activation;
};

// For every row the `per_token` experts of the largest softmax of the router's logits, each times
// its share; shares are divided by their sum where `normalised`.
Rows expert_mlp(const ReferenceWeights& weights, const ReferenceExperts& settings, const Rows& x);

}  // namespace terse::test
