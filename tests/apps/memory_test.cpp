// A model is compressed block by block: memory does not grow with its depth.
#include <gtest/gtest.h>

#include <fstream>

#include "apps/program.h"
#include "support/random_checkpoint.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

constexpr std::int64_t kWidth = 256;
constexpr std::int64_t kIntermediate = 1024;
constexpr std::int64_t kBlockBytes = 4 * (4 * kWidth * kWidth + 3 * kWidth * kIntermediate);

struct Peaks {
  std::int64_t anonymous;
  std::int64_t mapped;
};

Peaks peaks_of_compressing(int blocks) {
  const TemporaryDirectory directory;
  write_checkpoint(random_checkpoint("memory", {{"model_type", "llama"},
                                                {"vocab_size", 67},
                                                {"hidden_size", kWidth},
                                                {"intermediate_size", kIntermediate},
                                                {"num_hidden_layers", blocks},
                                                {"num_attention_heads", 4},
                                                {"num_key_value_heads", 4},
                                                {"hidden_act", "silu"},
                                                {"max_position_embeddings", 64},
                                                {"rms_norm_eps", 1e-5},
                                                {"rope_theta", 10000.0},
                                                {"tie_word_embeddings", false}}),
                   directory / "model", "F32");
  nlohmann::json ids;
  for (int i = 0; i < 8192; ++i) ids.push_back(i * i % 67);
  std::ofstream(directory / "ids.json") << ids;
  const ProgramResult result =
      run_terse({"compress", directory / "model", "-o", directory / "out", "--method", "gptq",
                 "--group-size", "64", "--calibration-tokens", directory / "ids.json", "--json"});
  expect_done(result);
  return {result.json().at("peak_memory_bytes"), result.json().at("peak_mapped_bytes")};
}

TEST(Memory, PeakDoesNotGrowWithDepth) {
  const Peaks shallow = peaks_of_compressing(4);
  const Peaks deep = peaks_of_compressing(16);
  // Keeping the 12 blocks would show as 12; peaks of single steps may be missed by the samples.
  constexpr std::int64_t kTolerance = 4 * kBlockBytes;
  EXPECT_LT(deep.anonymous, shallow.anonymous + kTolerance);
  EXPECT_LT(deep.mapped, shallow.mapped + kTolerance);
}

}  // namespace
}  // namespace terse::test
