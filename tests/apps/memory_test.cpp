// A model is compressed block by block: memory does not grow with its depth.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

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

// A model, calibration tokens, and the flags that compress it.
class MemoryModel {
 public:
  explicit MemoryModel(int blocks) {
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
                     directory_ / "model", "F32");
    nlohmann::json ids;
    for (int i = 0; i < 8192; ++i) ids.push_back(i * i % 67);
    std::ofstream(directory_ / "ids.json") << ids;
  }

  std::string path(const char* name) const { return directory_ / name; }
  std::vector<std::string> flags(const std::string& method = "gptq") const {
    std::vector<std::string> all{"--method", method, "--json"};
    const auto add = [&](const std::string& flag, const std::string& value) {
      all.insert(all.end(), {flag, value});
    };
    if (method == "gptq") add("--group-size", "64");
    if (method != "magnitude_sp") add("--calibration-tokens", path("ids.json"));
    return all;
  }

 private:
  TemporaryDirectory directory_;
};

Peaks peaks_of_compressing(int blocks, const std::string& method) {
  const MemoryModel model(blocks);
  std::vector<std::string> arguments{"compress", model.path("model"), "-o", model.path("out")};
  std::ranges::copy(model.flags(method), std::back_inserter(arguments));
  const ProgramResult result = run_terse(arguments);
  expect_done(result);
  return {result.json().at("peak_memory_bytes"), result.json().at("peak_mapped_bytes")};
}

class MemoryOfMethods : public testing::TestWithParam<std::string> {};

TEST_P(MemoryOfMethods, DoesNotGrowWithDepth) {
  const Peaks shallow = peaks_of_compressing(4, GetParam());
  const Peaks deep = peaks_of_compressing(16, GetParam());
  // Keeping the 12 blocks would show as 12; peaks of single steps may be missed by the samples.
  constexpr std::int64_t kTolerance = 4 * kBlockBytes;
  EXPECT_LT(deep.anonymous, shallow.anonymous + kTolerance);
  EXPECT_LT(deep.mapped, shallow.mapped + kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Methods, MemoryOfMethods,
                         testing::Values("gptq", "magnitude_sp", "wanda_sp", "slicegpt"),
                         [](const auto& tested) { return tested.param; });

// A model four times larger than the memory that it may take.
TEST(Memory, StaysWithinWhatWasPlanned) {
  const MemoryModel model(90);
  std::vector<std::string> arguments{"plan", model.path("model")};
  std::ranges::copy(model.flags(), std::back_inserter(arguments));
  arguments.insert(arguments.end(), {"--memory", "90MB", "--calibration-samples", "48"});
  const ProgramResult planned = run_terse(arguments);
  expect_done(planned);
  const nlohmann::json plan = planned.json();
  const nlohmann::json& memory = plan.at("memory");
  EXPECT_GT(plan.at("bytes_before").get<std::int64_t>(), 4 * 90'000'000LL);
  const std::int64_t bound = memory.at("bound_bytes");
  const std::int64_t limit = bound + memory.at("reserved_bytes").get<std::int64_t>();
  std::string command = "ulimit -d " + std::to_string(limit / 1024) +
                        "; exec " TERSE_PROGRAM " compress " + model.path("model") + " -o " +
                        model.path("out") + " --memory 90MB --calibration-samples 48";
  for (const std::string& flag : model.flags()) command += " " + flag;
  const ProgramResult result = run_program("bash", {"-c", command});
  expect_done(result);
  EXPECT_LT(result.json().at("peak_memory_bytes"), bound);
}

}  // namespace
}  // namespace terse::test
