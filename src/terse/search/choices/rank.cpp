// Rank: two narrow weights for one by SVD-LLM, rounded by GPTQ.
#include <fmt/format.h>

#include "terse/search/choice.h"

namespace terse {
namespace {

std::vector<Choice> choices(const Unit& unit) {
  std::vector<Choice> all;
  if (unit.is_embeddings()) return all;
  for (const char* ratio : {"0.3", "0.4", "0.5", "0.7"}) {
    for (const int bits : {4, 5, 6}) {
      all.push_back(
          {fmt::format("svd_llm {} gptq {} bits", ratio, bits),
           {step_of("svd_llm", {{"ratio", ratio}}),
            step_of("gptq",
                    {{"bits", std::to_string(bits)}, {"strategy", "channel"}, {"clip", "mse"}})}});
    }
  }
  return all;
}

const ChoiceKindRegistration kRegistration({"rank",
                                            "linears factored by SVD-LLM, then GPTQ at 4 to 6 bits",
                                            choices});

}  // namespace
}  // namespace terse
