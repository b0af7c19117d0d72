// terse inspect.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/paths.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

using testing::HasSubstr;

TEST(Inspect, CountsADenseModel) {
  const ProgramResult result = run_terse({"inspect", source_path("models/docs-llama"), "--json"});
  expect_done(result);
  const nlohmann::json json = result.json();
  EXPECT_EQ(json.at("family"), "llama");
  // Embedding, two norms and seven linears a block, and the last norm.
  const int block = 256 * 256 + 2 * 128 * 256 + 256 * 256 + 3 * 768 * 256 + 2 * 256;
  const int parameters = 4096 * 256 + 6 * block + 256;
  EXPECT_EQ(json.at("parameters"), parameters);
  EXPECT_EQ(json.at("bytes"), 2 * parameters);
  EXPECT_EQ(json.at("bits_per_weight"), 16.0);
  EXPECT_EQ(json.at("tie_word_embeddings"), true);
  EXPECT_EQ(json.at("dtype"), "bfloat16");
  EXPECT_EQ(json.at("compressed_modules"), 0);
  EXPECT_EQ(json.at("vocab_size"), 4096);
  EXPECT_EQ(json.at("num_hidden_layers"), 6);
  EXPECT_EQ(json.at("num_key_value_heads"), 2);
  int sum = 0;
  for (const auto& role : json.at("roles")) sum += role.at("parameters").get<int>();
  EXPECT_EQ(sum, parameters);
}

TEST(Inspect, SaysWhatIsCompressed) {
  const TemporaryDirectory directory;
  write_tiny_model(directory / "m");
  expect_done(run_terse({"compress", directory / "m", "-o", directory / "w", "--method", "rtn",
                         "--bits", "4", "--group-size", "128", "--ignore", "k_proj"}));
  const nlohmann::json json = run_terse({"inspect", directory / "w", "--json"}).json();
  EXPECT_EQ(json.at("compressed_modules"), 2 * 6);
  EXPECT_LT(json.at("bits_per_weight"), 7.0);
  EXPECT_EQ(json.at("parameters"),
            run_terse({"inspect", directory / "m", "--json"}).json().at("parameters"));
  for (const auto& role : json.at("roles")) {
    const std::string name = role.at("role");
    if (name == "q_proj") {
      EXPECT_EQ(role.at("kind"), "4 bits group 128");
      // Codes, a bfloat16 scale and a 4-bit zero for each group of 128.
      EXPECT_NEAR(role.at("bits_per_weight").get<double>(), 4 + 20.0 / 128, 0.02);
    } else if (name == "k_proj") {
      EXPECT_EQ(role.at("bits_per_weight"), 16.0);
    }
  }
  const ProgramResult text = run_terse({"inspect", directory / "w"});
  expect_done(text);
  for (const char* word : {"llama", "bits per weight", "4 bits group 128", "tied", "compressed"}) {
    EXPECT_THAT(text.out, HasSubstr(word));
  }
}

}  // namespace
}  // namespace terse::test
