// Embeddings: embedding and head rounded to 2 to 8 bits.
#include <fmt/format.h>

#include "terse/search/choice.h"

namespace terse {
namespace {

std::vector<Choice> choices(const Unit& unit) {
  std::vector<Choice> all;
  if (!unit.is_embeddings()) return all;
  for (int bits = 2; bits <= 8; ++bits) {
    all.push_back(
        {fmt::format("embeddings {} bits", bits), {step_of("rtn", {{"clip", "mse"}})}, bits});
  }
  return all;
}

const ChoiceKindRegistration kRegistration({"embeddings", "embedding and head at 2 to 8 bits",
                                            choices});

}  // namespace
}  // namespace terse
