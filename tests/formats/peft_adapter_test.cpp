// Adapters in PEFT's format: files written by hand, and what is refused.
#include "terse/formats/peft_adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/expect_error.h"
#include "support/peft_files.h"
#include "support/temporary_directory.h"

namespace terse {
namespace {

using test::peft_config;
using test::peft_module;
using test::peft_tensor;
using test::PeftTensor;

constexpr const char* kQ = "model.layers.0.self_attn.q_proj";
constexpr const char* kV = "model.layers.0.self_attn.v_proj";

class PeftAdapters : public testing::Test {
 protected:
  PeftAdapters() { add(peft_module(kQ, 6, 4)); }

  void add(const std::vector<PeftTensor>& tensors) {
    tensors_.insert(tensors_.end(), tensors.begin(), tensors.end());
  }

  PeftAdapter read() const {
    test::write_peft(directory_ / "adapter", config_, tensors_);
    return read_peft_adapter(directory_ / "adapter");
  }

  void expect_refused(const std::string& says) const {
    test::expect_error(ErrorKind::bad_input, says, [&] { read(); });
  }

  nlohmann::json config_ = peft_config();
  std::vector<PeftTensor> tensors_;
  test::TemporaryDirectory directory_;
};

TEST_F(PeftAdapters, AreReadAsTheyAreWritten) {
  add(peft_module(kV, 3, 4));
  const PeftAdapter adapter = read();
  ASSERT_EQ(adapter.modules.size(), 2U);
  const PeftModule& q = adapter.modules.front();
  EXPECT_EQ(q.name, kQ);
  EXPECT_EQ(q.r(), 2);
  EXPECT_EQ(q.lora_alpha, 3);
  EXPECT_EQ(q.scale, 1.5);
  EXPECT_EQ(q.a.shape(), (Shape{2, 4}));
  EXPECT_EQ(q.b.shape(), (Shape{6, 2}));
  EXPECT_EQ(q.a.to_floats(), tensors_[0].values);
  EXPECT_EQ(q.b.to_floats(), tensors_[1].values);
  EXPECT_FALSE(q.magnitude);
  EXPECT_EQ(adapter.modules.back().name, kV);
  EXPECT_EQ(adapter.config.base_model_name_or_path, "some/model");
  EXPECT_EQ(adapter.config.target_modules, (std::vector<std::string>{"v_proj", "q_proj"}));
}

TEST_F(PeftAdapters, HaveTheNamesOfPeft) {
  config_["use_dora"] = true;
  const std::string name = std::string("base_model.model.") + kQ;
  add({peft_tensor(name + ".lora_magnitude_vector", {6}, 3)});
  const PeftAdapter adapter = read();
  ASSERT_TRUE(adapter.modules.front().magnitude);
  EXPECT_EQ(adapter.modules.front().magnitude->to_floats(), tensors_[2].values);
  std::vector<std::string> names;
  for (const NamedTensor& tensor : peft_tensors(adapter)) names.push_back(tensor.name);
  EXPECT_EQ(names, (std::vector<std::string>{name + ".lora_A.weight", name + ".lora_B.weight",
                                             name + ".lora_magnitude_vector"}));
}

TEST_F(PeftAdapters, ScaleByTheRootOfTheRankWhenStabilised) {
  config_["use_rslora"] = true;
  EXPECT_DOUBLE_EQ(read().modules.front().scale, 3 / std::sqrt(2.0));
}

TEST_F(PeftAdapters, FollowPatternsThatMatchTheEndOfAName) {
  add(peft_module(kV, 3, 4, 5));
  config_["rank_pattern"] = {{"self_attn.v_proj", 5}, {"lf_attn.q_proj", 7}};
  config_["alpha_pattern"] = {{R"(layers\.\d+\.self_attn\.v_proj)", 20}};
  const PeftAdapter adapter = read();
  EXPECT_EQ(adapter.modules[0].scale, 1.5);  // a part is matched whole
  EXPECT_EQ(adapter.modules[1].r(), 5);
  EXPECT_EQ(adapter.modules[1].scale, 4);
}

TEST_F(PeftAdapters, MayNameModulesByOneExpression) {
  config_["target_modules"] = R"(.*\.q_proj)";
  EXPECT_EQ(read().modules.size(), 1U);
  config_["target_modules"] = R"(.*\.q_pro)";
  expect_refused("does not name " + std::string(kQ));
  config_["target_modules"] = "(";
  expect_refused("not a regular expression");
}

TEST_F(PeftAdapters, SayTheSameWhenWritten) {
  config_["rank_pattern"] = {{"q_proj", 2}};
  config_["alpha_pattern"] = {{"q_proj", 2.5}};
  const PeftConfig config = PeftConfig::parse(config_);
  EXPECT_EQ(PeftConfig::parse(parse_json(config.to_json().dump())), config);
  // Whole numbers are written as such: other readers declare lora_alpha an integer.
  EXPECT_EQ(config.to_json().at("lora_alpha").dump(), "3");
  EXPECT_EQ(config.to_json().at("alpha_pattern").at("q_proj").dump(), "2.5");
}

TEST_F(PeftAdapters, AreRefusedWithKeysThatChangeWhatTheyAre) {
  const std::vector<std::pair<std::string, nlohmann::json>> keys{
      {"bias", "all"},
      {"modules_to_save", {"lm_head"}},
      {"megatron_config", {{"a", 1}}},
      {"lora_bias", true},
      {"use_qalora", true},
      {"trainable_token_indices", {1, 2}},
      {"layer_replication", {{0, 1}}},
      {"target_parameters", {"w"}},
      {"of_tomorrow", 7}};
  for (const auto& [key, value] : keys) {
    config_ = peft_config();
    config_[key] = value;
    expect_refused("key '" + key + "' is " + value.dump());
  }
  config_ = peft_config();
  config_["of_tomorrow"] = false;
  EXPECT_NO_THROW(read());
  config_["peft_type"] = "ADALORA";
  expect_refused("'ADALORA' is not supported; expected LORA");
  config_ = peft_config();
  config_["init_lora_weights"] = "pissa";
  expect_refused("'pissa' changes the base");
  config_ = peft_config();
  config_["r"] = 0;
  expect_refused("key 'r': 0 is not 1 to");
  config_ = peft_config();
  config_["r"] = "2";
  expect_refused("'r'");
}

TEST_F(PeftAdapters, AreRefusedWithTensorsThatDoNotFit) {
  const auto with = [&](std::vector<PeftTensor> tensors, const std::string& says) {
    const auto before = std::exchange(tensors_, std::move(tensors));
    expect_refused(says);
    tensors_ = before;
  };
  const std::string name = std::string("base_model.model.") + kQ;
  with({}, "holds no adapters");
  with({tensors_[0]}, name + ".lora_B.weight is missing");
  with({tensors_[1]}, name + ".lora_A.weight is missing");
  with(peft_module(kQ, 6, 4, 3),
       "lora_A is [3, 4] and lora_B [6, 3]; adapter_config.json makes the "
       "rank 2");
  with({peft_tensor(name + ".lora_embedding_A", {2, 4}, 1)}, "not of a LoRA of a linear");
  with({peft_tensor("base_model.model.lm_head.weight", {2, 4}, 1)}, "lm_head.weight");
  with({peft_tensor(name + ".lora_A.weight", {8}, 1), tensors_[1]}, "of 2 dimensions");
  with({tensors_[0], tensors_[1], peft_tensor(name + ".lora_magnitude_vector", {6}, 1)},
       "says 'use_dora': false");
  with(peft_module("model.layers.0.mlp.up_proj", 6, 4), "does not name model.layers.0.mlp.up_proj");
  config_["use_dora"] = true;
  with(tensors_, "lora_magnitude_vector is missing");
  with({tensors_[0], tensors_[1], peft_tensor(name + ".lora_magnitude_vector", {5}, 1)},
       "lora_B makes it [6]");
  config_["use_dora"] = false;
  tensors_[0].values[3] = std::numeric_limits<float>::quiet_NaN();
  expect_refused("holds NaN or infinity");
}

TEST_F(PeftAdapters, AreRefusedWhereAFileIsMissing) {
  const auto folder = directory_ / "adapter";
  test::expect_error(ErrorKind::bad_input, "no adapter_config.json there",
                     [&] { read_peft_adapter(folder); });
  read();
  std::filesystem::rename(folder / "adapter_model.safetensors", folder / "adapter_model.bin");
  test::expect_error(ErrorKind::bad_input, "save it as adapter_model.safetensors",
                     [&] { read_peft_adapter(folder); });
}

}  // namespace
}  // namespace terse
