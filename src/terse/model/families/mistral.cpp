// Mistral (Jiang et al., arXiv 2310.06825): Llama with a sliding window in every block.
#include "terse/model/family.h"

namespace terse {
namespace {

const FamilyRegistration registration("mistral", [](const Json& config) {
  Architecture a = llama_like(config, 8);
  const std::int64_t window =
      get_integer(config, "sliding_window", config.contains("sliding_window") ? 0 : 4096);
  a.sliding_window.assign(a.sliding_window.size(), window);
  return a;
});

}  // namespace
}  // namespace terse
