// terse merge: an adapter becomes part of the weights of its base.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/peft_files.h"
#include "support/temporary_directory.h"
#include "terse/core/dtype.h"
#include "terse/model/model.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

const std::string kQ = "model.layers.1.self_attn.q_proj";
const std::string kV = "model.layers.0.self_attn.v_proj";

class MergeVerb : public testing::Test {
 protected:
  MergeVerb() {
    write_tiny_model(model());
    write_adapter(peft_config());
  }

  // Rank 2 on two linears of the tiny model: [128, 128] and [64, 128].
  void write_adapter(const json& config, std::vector<PeftTensor> more = {}) {
    std::vector<PeftTensor> tensors = peft_module(kQ, 128, 128);
    for (PeftTensor& tensor : peft_module(kV, 64, 128)) tensors.push_back(tensor);
    for (PeftTensor& tensor : more) tensors.push_back(tensor);
    write_peft(adapter(), config, tensors);
  }

  void quantize(const std::vector<std::string>& more = {}) {
    std::vector<std::string> command{"compress", model(),  "-o", directory_ / "w4", "--method",
                                     "rtn",      "--bits", "4",  "--group-size",    "32"};
    command.insert(command.end(), more.begin(), more.end());
    expect_done(run_terse(command));
  }

  ProgramResult merge(const fs::path& base, const std::string& output,
                      const std::vector<std::string>& more = {}) {
    std::vector<std::string> command{"merge", base, adapter(), "-o", directory_ / output};
    command.insert(command.end(), more.begin(), more.end());
    return run_terse(command);
  }

  Matrix weight(const std::string& name, const std::string& module) const {
    Model opened = Model::open(directory_ / name);
    opened.load_unprepared();
    for (std::int64_t block = 0; block < 2; ++block) {
      for (const auto& entry : opened.block(block).linears) {
        if (entry.second.module == module) return entry.second.weight->dense();
      }
    }
    throw std::runtime_error("no " + module);
  }

  // W + 3 / 2 B A, from the values that were written.
  Matrix by_hand(const std::string& name, const std::string& module) const {
    Matrix merged = weight(name, module);
    const auto tensors = peft_module(module, merged.rows(), merged.cols());
    const auto columns = static_cast<std::size_t>(merged.cols());
    for (std::size_t row = 0; row < static_cast<std::size_t>(merged.rows()); ++row) {
      for (std::size_t column = 0; column < columns; ++column) {
        double sum = 0;
        for (std::size_t i = 0; i < 2; ++i) {
          sum += tensors[1].values[row * 2 + i] * tensors[0].values[i * columns + column];
        }
        merged(static_cast<std::int64_t>(row), static_cast<std::int64_t>(column)) +=
            static_cast<float>(1.5 * sum);
      }
    }
    return merged;
  }

  fs::path model() const { return directory_ / "model"; }
  fs::path adapter() const { return directory_ / "adapter"; }

  TemporaryDirectory directory_;
};

// Values of a few units in bfloat16.
constexpr float kRounding = 0.02F;

TEST_F(MergeVerb, AddsToOneExpert) {
  json config = tiny_config();
  config.update({{"model_type", "mixtral"}, {"num_local_experts", 3}, {"num_experts_per_tok", 2}});
  write_tiny_model(model(), config);
  const std::string expert = "model.layers.1.block_sparse_moe.experts.2.w1";
  json adapter_config = peft_config();
  adapter_config["target_modules"] = {"w1"};
  write_peft(adapter(), adapter_config, peft_module(expert, 256, 128));
  const ProgramResult result = merge(model(), "out", {"--json"});
  expect_done(result);
  EXPECT_EQ(result.json().at("linears").size(), 1);
  EXPECT_LT((weight("out", expert) - by_hand("model", expert)).cwiseAbs().maxCoeff(), kRounding);
  const std::string other = "model.layers.1.block_sparse_moe.experts.1.w1";
  EXPECT_EQ(weight("out", other), weight("model", other));
}

TEST_F(MergeVerb, AddsToDenseWeightsAndLeavesTheRest) {
  write_text(model() / "README.md", "side file");
  const ProgramResult result = merge(model(), "out", {"--json"});
  expect_done(result);
  EXPECT_EQ(result.json().at("linears").size(), 2);
  EXPECT_EQ(result.json().at("bytes"), result.json().at("bytes_before"));
  for (const std::string& module : {kQ, kV}) {
    const float most = (weight("out", module) - by_hand("model", module)).cwiseAbs().maxCoeff();
    EXPECT_LT(most, kRounding);
  }
  const Checkpoint before = Checkpoint::open(model());
  const Checkpoint after = Checkpoint::open(directory_ / "out");
  EXPECT_EQ(before.names(), after.names());
  EXPECT_EQ(before.config(), after.config());
  for (const std::string& name : before.names()) {
    const bool same = std::ranges::equal(before.tensor(name).bytes(), after.tensor(name).bytes());
    EXPECT_EQ(same, name != kQ + ".weight" && name != kV + ".weight") << name;
  }
  EXPECT_EQ(read_text(directory_ / "out" / "README.md"), "side file");
  EXPECT_FALSE(fs::exists(directory_ / "out.part"));
  expect_done(run_terse({"run", directory_ / "out", "--prompt", "ab", "--max-tokens", "3"}));
}

TEST_F(MergeVerb, GivesTheSameBytesOnAnyNumberOfThreads) {
  quantize();
  for (const std::string base : {"model", "w4"}) {
    expect_done(merge(directory_ / base, "one", {"--threads", "1", "--force"}));
    const std::string bytes = read_text(directory_ / "one" / "model.safetensors");
    for (const char* threads : {"2", "3", "5"}) {
      expect_done(merge(directory_ / base, "many", {"--threads", threads, "--force"}));
      EXPECT_EQ(read_text(directory_ / "many" / "model.safetensors"), bytes);
    }
  }
}

TEST_F(MergeVerb, LaysASumBesideIntegers) {
  quantize();
  const ProgramResult result = merge(directory_ / "w4", "out");
  expect_done(result);
  EXPECT_THAT(result.out, HasSubstr("4 bits group 32 + rank 2"));
  const Model out = Model::open(directory_ / "out");
  EXPECT_EQ(out.stored_kind(kQ, "Linear"), "4 bits group 32 + rank 2");
  EXPECT_EQ(out.stored_kind("model.layers.0.self_attn.q_proj", "Linear"), "4 bits group 32");
  EXPECT_LT((weight("out", kQ) - by_hand("w4", kQ)).cwiseAbs().maxCoeff(), kRounding);
  const Checkpoint before = Checkpoint::open(directory_ / "w4");
  for (const std::string& name : before.names_of(kQ)) {
    EXPECT_TRUE(
        std::ranges::equal(before.tensor(name).bytes(), out.checkpoint().tensor(name).bytes()));
  }
  expect_done(run_terse({"run", directory_ / "out", "--prompt", "ab", "--max-tokens", "3"}));
  // The sum is there already.
  expect_refused(merge(directory_ / "out", "again"), 3,
                 {kV, "4 bits group 32 + rank 2", "use --dequantize"});
  EXPECT_FALSE(fs::exists(directory_ / "again"));
  EXPECT_FALSE(fs::exists(directory_ / "again.part"));
}

TEST_F(MergeVerb, DequantizesEveryWeight) {
  quantize({"--embeddings-bits", "8"});
  expect_done(merge(directory_ / "w4", "out", {"--dequantize"}));
  const Checkpoint out = Checkpoint::open(directory_ / "out");
  EXPECT_FALSE(out.config().contains("quantization_config"));
  for (const std::string& name : out.names()) {
    EXPECT_EQ(out.tensor(name).dtype(), DType::bf16) << name;
  }
  EXPECT_LT((weight("out", kQ) - by_hand("w4", kQ)).cwiseAbs().maxCoeff(), kRounding);
  EXPECT_EQ(Checkpoint::open(model()).names(), out.names());
}

TEST_F(MergeVerb, BringsRowsToTheLengthsOfDora) {
  json config = peft_config();
  config["use_dora"] = true;
  std::vector<PeftTensor> lengths;
  for (const auto& [module, rows] : {std::pair{kQ, 128}, {kV, 64}}) {
    lengths.push_back({"base_model.model." + module + ".lora_magnitude_vector",
                       {rows},
                       std::vector<float>(static_cast<std::size_t>(rows), 2.0F)});
  }
  write_adapter(config, lengths);
  quantize();
  for (const std::string base : {"model", "w4"}) {
    expect_done(merge(directory_ / base, "out", {"--force"}));
    const Matrix expected = by_hand(base, kQ).rowwise().normalized() * 2.0F;
    EXPECT_LT((weight("out", kQ) - expected).cwiseAbs().maxCoeff(), kRounding);
    EXPECT_EQ(Model::open(directory_ / "out").stored_kind(kQ, "Linear"), "bfloat16");
  }
}

TEST_F(MergeVerb, ChangesAHeadOfItsOwn) {
  json config = tiny_config();
  config["tie_word_embeddings"] = false;
  write_tiny_model(model(), config);
  json adapter_config = peft_config();
  adapter_config["target_modules"] = {"lm_head", "q_proj", "v_proj"};
  write_adapter(adapter_config, peft_module("lm_head", 67, 128));
  expect_done(merge(model(), "out"));
  EXPECT_FALSE(Model::open(directory_ / "out").head().weight->dense() ==
               Model::open(model()).head().weight->dense());
  write_tiny_model(model());
  expect_refused(merge(model(), "tied"), 3, {"lm_head", "shares its weight with the embedding"});
}

TEST_F(MergeVerb, RefusesWhatItCannotMerge) {
  const auto refused = [&](const fs::path& base, const std::vector<std::string>& says) {
    expect_refused(merge(base, "out"), 3, says);
    EXPECT_FALSE(fs::exists(directory_ / "out"));
    EXPECT_FALSE(fs::exists(directory_ / "out.part"));
  };
  json wider = tiny_config();
  wider["num_key_value_heads"] = 4;
  write_tiny_model(directory_ / "wider", wider);
  refused(directory_ / "wider",
          {"adapter", "another base", kV, "[64, 2]", "[128, 128]", "some/model"});
  json shorter = tiny_config();
  shorter["num_hidden_layers"] = 1;
  write_tiny_model(directory_ / "shorter", shorter);
  refused(directory_ / "shorter",
          {"another base", kQ, "no such linear", "layers.0.self_attn.q_proj"});
  expect_done(run_terse({"compress", model(), "-o", directory_ / "sparse", "--method", "magnitude",
                         "--sparsity", "0.6"}));
  refused(directory_ / "sparse", {kV, "bitmap", "use --dequantize"});
  json all = peft_config();
  all["bias"] = "all";
  write_adapter(all);
  refused(model(), {"adapter_config.json", "key 'bias' is \"all\"", "not supported"});
  fs::remove_all(adapter());
  refused(model(), {"no adapter_config.json there"});
  expect_refused(run_terse({"merge", model()}), 2, {"adapter is required"});
}

}  // namespace
}  // namespace terse::test
