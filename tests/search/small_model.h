// A model that searches take seconds for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/random_checkpoint.h"

namespace terse::test {

// A Llama of three blocks with random bfloat16 weights: width 64, MLP of 128, 67 words, context 32.
inline void write_small_model(const std::filesystem::path& directory, bool tied = true) {
  const nlohmann::json config = {{"architectures", {"LlamaForCausalLM"}},
                                 {"model_type", "llama"},
                                 {"vocab_size", 67},
                                 {"hidden_size", 64},
                                 {"intermediate_size", 128},
                                 {"num_hidden_layers", 3},
                                 {"num_attention_heads", 4},
                                 {"num_key_value_heads", 2},
                                 {"head_dim", 16},
                                 {"hidden_act", "silu"},
                                 {"max_position_embeddings", 32},
                                 {"rms_norm_eps", 1e-5},
                                 {"rope_theta", 10000.0},
                                 {"tie_word_embeddings", tied},
                                 {"bos_token_id", 1},
                                 {"eos_token_id", 2}};
  write_checkpoint(random_checkpoint("small", config), directory, "BF16");
}

// Windows of tokens of that model; others for every `seed`.
inline std::vector<std::vector<std::int32_t>> some_windows(int count, int size, int seed) {
  std::vector<std::vector<std::int32_t>> windows;
  for (int w = 0; w < count; ++w) {
    auto& window = windows.emplace_back();
    for (int i = 0; i < size; ++i) {
      window.push_back((i * i * (seed + 2) + 5 * i + 13 * w * (i + seed)) % 67);
    }
  }
  return windows;
}

}  // namespace terse::test
