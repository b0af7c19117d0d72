// --kv-cache of the verbs that run models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/paths.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class KvCache : public testing::Test {
 protected:
  json result_of(std::vector<std::string> arguments) const {
    arguments.emplace_back("--json");
    const ProgramResult result = run_terse(arguments);
    expect_done(result);
    return result.json();
  }

  TemporaryDirectory directory_;
  std::filesystem::path model_ = source_path("models/docs-llama");
  std::string text_ = directory_ / "a.txt";
};

TEST_F(KvCache, OfFewerBitsTellsMoreLossInEval) {
  write_text(text_, tiny_text(1500));
  const std::vector<std::string> divergence{"eval",   "divergence", model_,     model_,
                                            "--text", text_,        "--window", "128"};
  const auto kl = [&](const std::string& type) {
    std::vector<std::string> arguments = divergence;
    arguments.insert(arguments.end(), {"--kv-cache", type});
    return result_of(arguments).at("kl").get<double>();
  };
  EXPECT_NEAR(result_of(divergence).at("kl").get<double>(), 0.0, 1e-6);
  EXPECT_NEAR(kl("f32"), 0.0, 1e-6);
  const double eight = kl("8");
  const double four = kl("4");
  EXPECT_LT(kl("f16"), eight);
  EXPECT_LT(eight, four);
  EXPECT_LT(four, kl("2"));
}

TEST_F(KvCache, OfEachTypeRuns) {
  for (const char* type : {"f32", "f16", "8", "4", "2"}) {
    const json result = result_of({"run", model_, "--prompt", "The command", "--max-tokens", "70",
                                   "--kv-cache", type})
                            .at("results")
                            .at(0);
    EXPECT_GT(result.at("tokens"), 0) << type;
  }
}

TEST_F(KvCache, OfFewerBitsIsReadInFewerBytes) {
  const auto bytes = [&](const std::string& type) {
    return result_of({"bench", model_, "--context", "128", "--tokens", "2", "--repetitions", "1",
                      "--kv-cache", type})
        .at("results")
        .at(0)
        .at("bytes_per_token")
        .get<double>();
  };
  // 129 positions of 6 blocks with 2 heads of 64 channels.
  const double numbers = 129.0 * 6 * 2 * 2 * 64;
  EXPECT_DOUBLE_EQ(bytes("f32") - bytes("f16"), 2 * numbers);
  EXPECT_GT(bytes("f16"), bytes("8"));
  EXPECT_GT(bytes("8"), bytes("4"));
  EXPECT_GT(bytes("4"), bytes("2"));
}

TEST_F(KvCache, OfAnotherTypeIsRefused) {
  const ProgramResult result = run_terse({"run", model_, "--prompt", "a", "--kv-cache", "3"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("--kv-cache"));
}

}  // namespace
}  // namespace terse::test
