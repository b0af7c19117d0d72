// Qwen2 and Qwen2.5 (arXiv 2407.10671): Llama with biases on q, k and v.
#include "terse/model/families/qwen.h"

namespace terse {
namespace {

const FamilyRegistration registration("qwen2", [](const Json& config) {
  Architecture a = llama_like(config, 32);
  a.biases = {LinearRole::q_proj, LinearRole::k_proj, LinearRole::v_proj};
  read_qwen_windows(config, 28, a);
  return a;
});

}  // namespace
}  // namespace terse
