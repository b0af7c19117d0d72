// terse compress: its flags, its report, its determinism.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using Words = std::vector<std::string>;

class Compress : public testing::Test {
 protected:
  void SetUp() override {
    write_tiny_model(model_);
    write_text(text_, tiny_text(2000));
  }

  ProgramResult compress(const std::string& output, Words arguments) const {
    arguments.insert(arguments.begin(), {"compress", model_, "-o", directory_ / output});
    return run_terse(arguments);
  }

  ProgramResult gptq(const std::string& output, Words arguments) const {
    arguments.insert(arguments.end(), {"--method", "gptq", "--calibration-text", text_,
                                       "--calibration-samples", "4"});
    return compress(output, std::move(arguments));
  }

  ProgramResult rtn(const std::string& output, Words arguments) const {
    arguments.insert(arguments.end(), {"--method", "rtn"});
    return compress(output, std::move(arguments));
  }

  json config_of(const std::string& output) const {
    return json::parse(read_text(directory_ / output / "config.json"));
  }

  json weights_of(const std::string& output) const {
    return config_of(output)
        .at("quantization_config")
        .at("config_groups")
        .at("group_0")
        .at("weights");
  }

  json header_of(const std::string& output) const {
    return read_parts(directory_ / output / "model.safetensors").header;
  }

  std::string tensors_of(const std::string& output) const {
    return read_text(directory_ / output / "model.safetensors");
  }

  double mean_error(const ProgramResult& result, const std::string& key) const {
    double sum = 0;
    const json report = result.json();
    for (const json& linear : report.at("linears")) sum += linear.at(key).get<double>();
    return sum / static_cast<double>(report.at("linears").size());
  }

  TemporaryDirectory directory_;
  fs::path model_ = directory_ / "m";
  fs::path text_ = directory_ / "text.txt";
};

TEST_F(Compress, ReportsWhatItDid) {
  const ProgramResult result = gptq("w", {"--bits", "4", "--group-size", "64", "--json"});
  expect_done(result);
  const json report = result.json();
  EXPECT_EQ(report.at("method"), "gptq");
  EXPECT_EQ(report.at("calibration_source"), "text");
  EXPECT_EQ(report.at("calibration_tokens"), 4 * 256);
  EXPECT_EQ(report.at("bits_per_weight_before"), 16.0);
  EXPECT_NEAR(report.at("linear_bits_per_weight").get<double>(), 4 + 20.0 / 64, 0.05);
  EXPECT_LT(report.at("bits_per_weight"), 6.0);
  EXPECT_GT(report.at("seconds"), 0);
  EXPECT_GT(report.at("peak_memory_bytes"), 0);
  ASSERT_EQ(report.at("linears").size(), 14U);
  for (const json& linear : report.at("linears")) {
    EXPECT_GT(linear.at("relative_output_error"), 0);
    EXPECT_GT(linear.at("relative_weight_error"), 0);
    EXPECT_LT(linear.at("relative_output_error"), 0.1);
  }
  const json dense = run_terse({"inspect", model_, "--json"}).json();
  const json packed = run_terse({"inspect", directory_ / "w", "--json"}).json();
  EXPECT_EQ(report.at("parameters"), dense.at("parameters"));
  EXPECT_EQ(report.at("bytes_before"), dense.at("bytes"));
  EXPECT_EQ(report.at("bytes"), packed.at("bytes"));
  const ProgramResult text = gptq("t", {"--bits", "4"});
  expect_done(text);
  for (const char* part : {"output error", "model.layers.1.mlp.down_proj", "bits per weight",
                           "calibrated on 1,024 tokens (text)", "peak memory", " -> "}) {
    EXPECT_THAT(text.out, HasSubstr(part));
  }
}

TEST_F(Compress, MoreBitsLeaveLessError) {
  for (const bool feedback : {false, true}) {
    double before = 1;
    for (int bits = 2; bits <= 8; ++bits) {
      const std::string name = std::to_string(bits).append(feedback ? "g" : "r");
      const Words arguments{"--bits", std::to_string(bits), "--json"};
      const ProgramResult result = feedback ? gptq(name, arguments) : rtn(name, arguments);
      expect_done(result);
      const double error = mean_error(result, "relative_weight_error");
      EXPECT_LT(error, before / 2) << bits;
      before = error;
      EXPECT_EQ(weights_of(name).at("num_bits"), bits);
      expect_done(run_terse({"run", directory_ / name, "--prompt", "a", "--max-tokens", "2"}));
    }
  }
}

TEST_F(Compress, StrategiesAndSymmetryReachTheFile) {
  const std::string linear = "model.layers.0.mlp.up_proj";
  expect_done(rtn("group", {"--group-size", "32"}));
  expect_done(rtn("channel", {"--strategy", "channel"}));
  expect_done(rtn("tensor", {"--strategy", "tensor", "--bits", "8"}));
  expect_done(rtn("symmetric", {"--group-size", "32", "--symmetric"}));
  EXPECT_EQ(header_of("group").at(linear + ".weight_scale").at("shape"), json({256, 4}));
  EXPECT_EQ(weights_of("group").at("group_size"), 32);
  EXPECT_EQ(weights_of("group").at("symmetric"), false);
  EXPECT_EQ(header_of("channel").at(linear + ".weight_scale").at("shape"), json({256, 1}));
  EXPECT_EQ(weights_of("channel").at("strategy"), "channel");
  EXPECT_EQ(weights_of("tensor").at("strategy"), "tensor");
  EXPECT_EQ(weights_of("symmetric").at("symmetric"), true);
  EXPECT_TRUE(header_of("group").contains(linear + ".weight_zero_point"));
  EXPECT_FALSE(header_of("symmetric").contains(linear + ".weight_zero_point"));
  for (const char* name : {"group", "channel", "tensor", "symmetric"}) {
    expect_done(run_terse({"run", directory_ / name, "--prompt", "a", "--max-tokens", "2"}));
  }
}

TEST_F(Compress, ClippingForSquaredErrorLeavesLessOfIt) {
  const ProgramResult range = rtn("a", {"--bits", "3", "--json"});
  const ProgramResult searched = rtn("b", {"--bits", "3", "--clip", "mse", "--json"});
  expect_done(searched);
  EXPECT_LT(mean_error(searched, "relative_weight_error"),
            mean_error(range, "relative_weight_error"));
}

TEST_F(Compress, OptionsOfGptqChangeItsResult) {
  std::set<std::string> results;
  const std::vector<Words> settings{{},
                                    {"--desc-act"},
                                    {"--desc-act", "--static-groups"},
                                    {"--percdamp", "0.5"},
                                    {"--no-true-sequential"},
                                    {"--clip", "mse"}};
  for (std::size_t i = 0; i < settings.size(); ++i) {
    Words arguments{"--bits", "3", "--group-size", "32"};
    arguments.insert(arguments.end(), settings[i].begin(), settings[i].end());
    const std::string name = std::to_string(i).append("w");
    const ProgramResult result = gptq(name, arguments);
    expect_done(result);
    EXPECT_TRUE(results.insert(tensors_of(name)).second) << i;
    expect_done(run_terse({"run", directory_ / name, "--prompt", "a", "--max-tokens", "2"}));
  }
  EXPECT_EQ(weights_of("0w").value("actorder", json()), json());
  EXPECT_EQ(weights_of("1w").at("actorder"), "group");
}

TEST_F(Compress, TheBlockSizeIsAMatterOfSpeed) {
  const auto error = [&](const std::string& size) {
    const ProgramResult result = gptq("b" + size, {"--block-size", size, "--bits", "3", "--json"});
    expect_done(result);
    return mean_error(result, "relative_output_error");
  };
  const double usual = error("128");
  EXPECT_NEAR(error("1") / usual, 1, 0.02);
  EXPECT_NEAR(error("48") / usual, 1, 0.02);
}

TEST_F(Compress, IgnoredLinearsStayAsTheyAre) {
  expect_done(rtn("w", {"--ignore", "layers\\.0\\..*_proj$", "o_proj"}));
  const json header = header_of("w");
  for (const char* linear : {"0.mlp.up_proj", "0.self_attn.q_proj", "1.self_attn.o_proj"}) {
    EXPECT_TRUE(header.contains("model.layers." + std::string(linear) + ".weight")) << linear;
  }
  EXPECT_TRUE(header.contains("model.layers.1.mlp.up_proj.weight_packed"));
  EXPECT_THAT(config_of("w").at("quantization_config").at("ignore").dump(),
              HasSubstr("model.layers.1.self_attn.o_proj"));
  expect_done(run_terse({"run", directory_ / "w", "--prompt", "a", "--max-tokens", "2"}));
  expect_refused(rtn("x", {"--ignore", "q_porj"}), 2, {"ignore 'q_porj'", "no linear"});
  expect_refused(rtn("x", {"--ignore", "("}), 2, {"selector '('", "parenthesis"});
}

TEST_F(Compress, EmbeddingsHaveTheirOwnBits) {
  const auto bits = [&](const std::string& name, const Words& arguments) {
    const ProgramResult result = rtn(name, arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_TRUE(header_of(name).contains("model.embed_tokens.weight_packed"));
    EXPECT_FALSE(header_of(name).contains("lm_head.weight_packed"));
    expect_done(run_terse({"run", directory_ / name, "--prompt", "a", "--max-tokens", "2"}));
    return config_of(name)
        .at("quantization_config")
        .at("config_groups")
        .at("group_1")
        .at("weights")
        .at("num_bits");
  };
  EXPECT_EQ(bits("none", {"--embeddings-bits"}), 8);
  EXPECT_EQ(bits("six", {"--embeddings-bits", "6"}), 6);
  expect_refused(rtn("x", {"--embeddings-bits", "9"}), 2, {"--embeddings-bits", "9"});
}

TEST_F(Compress, ScalesAreStoredInTheTypeAskedFor) {
  const std::vector<std::pair<std::string, std::string>> types{
      {"model", "BF16"}, {"float16", "F16"}, {"bfloat16", "BF16"}, {"float32", "F32"}};
  for (const auto& [option, stored] : types) {
    expect_done(rtn(option, {"--scale-dtype", option}));
    EXPECT_EQ(header_of(option).at("model.layers.0.mlp.up_proj.weight_scale").at("dtype"), stored);
  }
}

TEST_F(Compress, DequantizedWeightsAreThoseThatThePackedOnesStandFor) {
  expect_done(rtn("packed", {"--bits", "3"}));
  expect_done(rtn("dense", {"--bits", "3", "--dequantize"}));
  EXPECT_FALSE(config_of("dense").contains("quantization_config"));
  const json header = header_of("dense");
  const json original = read_parts(model_ / "model.safetensors").header;
  for (const auto& [name, entry] : original.items()) {
    ASSERT_TRUE(header.contains(name)) << name;
    if (name == "__metadata__") continue;
    EXPECT_EQ(header.at(name).at("dtype"), entry.at("dtype"));
    EXPECT_EQ(header.at(name).at("shape"), entry.at("shape"));
  }
  // Dense bfloat16 rounds the products once more, which moves the loss far less than 3 bits do.
  const ProgramResult result = run_terse({"eval", "divergence", directory_ / "packed",
                                          directory_ / "dense", "--text", text_, "--json"});
  const ProgramResult from_model =
      run_terse({"eval", "divergence", model_, directory_ / "dense", "--text", text_, "--json"});
  expect_done(result);
  EXPECT_LT(result.json().at("kl"), 0.02 * from_model.json().at("kl").get<double>());
}

TEST_F(Compress, SideFilesAreCarriedOver) {
  write_text(model_ / "chat_template.jinja", "{{ messages }}");
  write_text(model_ / "generation_config.json", "{\"eos_token_id\": 2}");
  expect_done(rtn("w", {}));
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                           "generation_config.json"}) {
    EXPECT_EQ(read_text(directory_ / "w" / name), read_text(model_ / name)) << name;
  }
  json config = config_of("w");
  config.erase("quantization_config");
  EXPECT_EQ(config, json::parse(read_text(model_ / "config.json")));
}

TEST_F(Compress, CalibratesOnTokensLinesAndItself) {
  json ids = json::array();
  for (int i = 0; i < 500; ++i) ids.push_back(3 + i * i % 64);
  write_text(directory_ / "ids.json", ids.dump());
  write_text(directory_ / "lines.jsonl", json{{"body", tiny_text(900)}}.dump() + "\n");
  const auto report = [&](const std::string& name, Words arguments) {
    arguments.insert(arguments.end(), {"--method", "gptq", "--calibration-window", "100",
                                       "--calibration-samples", "3", "--json"});
    const ProgramResult result = compress(name, std::move(arguments));
    expect_done(result);
    return result.json();
  };
  const json tokens = report("t", {"--calibration-tokens", directory_ / "ids.json"});
  const json lines =
      report("l", {"--calibration-text", directory_ / "lines.jsonl", "--text-key", "body"});
  const json self = report("s", {});
  EXPECT_EQ(tokens.at("calibration_source"), "token ids");
  EXPECT_EQ(lines.at("calibration_source"), "text");
  EXPECT_EQ(self.at("calibration_source"), "self-generated");
  for (const json& each : {tokens, lines, self}) EXPECT_EQ(each.at("calibration_tokens"), 300);
}

TEST_F(Compress, TheSeedAndNothingElseDecidesTheBytes) {
  const auto bytes = [&](const std::string& name, const std::string& seed,
                         const std::string& threads) {
    const ProgramResult result =
        compress(name, {"--method", "gptq", "--bits", "3", "--calibration-samples", "5",
                        "--calibration-window", "60", "--seed", seed, "--threads", threads});
    expect_done(result);
    return tensors_of(name);
  };
  const std::string first = bytes("a", "1", "1");
  EXPECT_EQ(bytes("b", "1", "2"), first);
  EXPECT_EQ(bytes("c", "1", "5"), first);
  EXPECT_NE(bytes("d", "2", "1"), first);
}

TEST_F(Compress, ReplacesAnOutputOnlyWhenForced) {
  fs::create_directory(directory_ / "w");
  expect_done(rtn("w", {}));  // an empty directory is nobody's
  write_text(directory_ / "w/mine.txt", "kept");
  const std::vector<std::string> before = tree(directory_.path());
  expect_refused(rtn("w", {"--bits", "3"}), 3, {directory_ / "w", "exists", "--force"});
  EXPECT_EQ(tree(directory_.path()), before);
  EXPECT_EQ(weights_of("w").at("num_bits"), 4);
  expect_done(rtn("w", {"--bits", "3", "--force"}));
  EXPECT_EQ(weights_of("w").at("num_bits"), 3);
  EXPECT_FALSE(fs::exists(directory_ / "w/mine.txt"));
}

TEST_F(Compress, RefusesWrongOptionsAndWritesNothing) {
  const std::vector<std::string> before = tree(directory_.path());
  expect_refused(compress("w", {"--method", "gtpq"}), 2, {"'gtpq'", "gptq"});
  expect_refused(rtn("w", {"--bits", "1"}), 2, {"bits", "2 to 8"});
  expect_refused(rtn("w", {"--bits", "9"}), 2, {"bits", "2 to 8"});
  expect_refused(rtn("w", {"--bits", "four"}), 2, {"bits", "'four'"});
  expect_refused(rtn("w", {"--group-size", "100"}), 2,
                 {"model.layers.0.self_attn.q_proj", "group_size 100", "64 or 128"});
  expect_refused(rtn("w", {"--group-size", "0"}), 2, {"group_size"});
  expect_refused(rtn("w", {"--strategy", "row"}), 2, {"strategy", "'row'", "channel"});
  expect_refused(rtn("w", {"--scale-dtype", "int8"}), 2, {"scale_dtype", "float16"});
  expect_refused(rtn("w", {"--clip", "max"}), 2, {"clip", "minmax"});
  expect_refused(rtn("w", {"--desc-act"}), 2, {"rtn", "desc_act"});
  expect_refused(gptq("w", {"--percdamp", "-1"}), 2, {"percdamp"});
  expect_refused(gptq("w", {"--block-size", "0"}), 2, {"block_size"});
  expect_refused(gptq("w", {"--calibration-tokens", "ids.json"}), 2, {"--calibration-t"});
  expect_refused(gptq("w", {"--calibration-window", "257"}), 2, {"window of 257", "256"});
  expect_refused(gptq("w", {"--calibration-window", "0"}), 2, {"--calibration-window"});
  expect_refused(compress("w", {"--method", "gptq", "--calibration-samples", "0"}), 2,
                 {"--calibration-samples"});
  expect_refused(compress("w", {"--method", "gptq", "--calibration-text", "absent.txt"}), 3,
                 {"absent.txt"});
  EXPECT_EQ(tree(directory_.path()), before);
  write_text(directory_ / "ids.json", "[1, 67, 3]");
  expect_refused(compress("w", {"--method", "gptq", "--calibration-window", "2",
                                "--calibration-tokens", directory_ / "ids.json"}),
                 3, {"ids.json", "token id 67", "vocabulary of 67"});
  EXPECT_FALSE(fs::exists(directory_ / "w"));
}

TEST_F(Compress, RefusesOutputsThatTouchTheInput) {
  const std::vector<std::string> before = tree(directory_.path());
  for (const char* output : {"m", "m/deep/w", "m/../m/w", "."}) {
    expect_refused(rtn(output, {"--force"}), 2, {"apart"});
  }
  EXPECT_EQ(tree(directory_.path()), before);
  expect_refused(rtn("text.txt", {"--force"}), 3, {"text.txt", "no directory"});
  expect_refused(rtn("text.txt/w", {}), 1, {"text.txt"});
  EXPECT_EQ(tree(directory_.path()), before);
}

TEST_F(Compress, ACompressedModelIsNotCompressedAgain) {
  expect_done(rtn("w", {}));
  expect_refused(
      run_terse({"compress", directory_ / "w", "-o", directory_ / "v", "--method", "rtn"}), 3,
      {"w", "already compressed", "quantization_config"});
  EXPECT_FALSE(fs::exists(directory_ / "v"));
}

}  // namespace
}  // namespace terse::test
