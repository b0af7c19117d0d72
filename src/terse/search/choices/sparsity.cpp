// Sparsity: a share of the weights zero by SparseGPT, the others rounded by GPTQ.
#include <fmt/format.h>

#include "terse/search/choice.h"

namespace terse {
namespace {

std::vector<Choice> choices(const Unit& unit) {
  std::vector<Choice> all;
  if (unit.is_embeddings()) return all;
  for (const char* sparsity : {"0.3", "0.4", "0.5", "0.6"}) {
    for (const int bits : {3, 4}) {
      all.push_back(
          {fmt::format("sparsegpt {} gptq {} bits", sparsity, bits),
           {step_of("sparsegpt", {{"sparsity", sparsity}}),
            step_of("gptq",
                    {{"bits", std::to_string(bits)}, {"group_size", "128"}, {"clip", "mse"}})}});
    }
  }
  return all;
}

const ChoiceKindRegistration kRegistration({"sparsity",
                                            "linears pruned by SparseGPT, then GPTQ at 3 or 4 bits",
                                            choices});

}  // namespace
}  // namespace terse
