// Damaged and hostile model directories, and a full disk: one clear line each, nothing
// half-written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cstring>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/random_checkpoint.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Words = std::vector<std::string>;

class BadInput : public testing::Test {
 protected:
  void SetUp() override {
    write_tiny_model(model_);
    write_text(directory_ / "text.txt", tiny_text(700));
  }

  // Every verb that reads the model says the same, and none leaves anything behind.
  void expect_all_refuse(const Words& parts) const {
    const std::vector<std::string> before = tree(directory_.path());
    expect_refused(run_terse({"inspect", model_}), 3, parts);
    expect_all_loading_refuse(parts);
    EXPECT_EQ(tree(directory_.path()), before);
  }

  // What only loading finds.
  void expect_all_loading_refuse(const Words& parts) const {
    const std::string text = directory_ / "text.txt";
    expect_refused(run_terse({"run", model_, "--prompt", "abc"}), 3, parts);
    expect_refused(run_terse({"eval", "perplexity", model_, "--text", text}), 3, parts);
    for (const char* method : {"rtn", "gptq"}) {
      expect_refused(run_terse({"compress", model_, "-o", directory_ / "w", "--method", method,
                                "--calibration-text", text, "--calibration-samples", "2"}),
                     3, parts);
    }
    EXPECT_FALSE(fs::exists(directory_ / "w"));
    EXPECT_FALSE(fs::exists(directory_ / "w.part"));
  }

  void change_config(const std::string& key, const json& value) const {
    json config = json::parse(read_text(model_ / "config.json"));
    config[key] = value;
    write_text(model_ / "config.json", config.dump());
  }

  // The tiny model's config with one key changed; null counts as absent.
  void expect_config_refused(const std::string& key, const json& value, const Words& parts) const {
    SCOPED_TRACE(key + " = " + value.dump());
    json config = tiny_config();
    config[key] = value;
    write_text(model_ / "config.json", config.dump());
    expect_refused(run_terse({"inspect", model_}), 3, parts);
  }

  TemporaryDirectory directory_;
  fs::path model_ = directory_ / "m";
  fs::path weights_ = model_ / "model.safetensors";
};

TEST_F(BadInput, AbsentDirectoriesAndFiles) {
  expect_refused(run_terse({"inspect", directory_ / "absent"}), 3, {"absent"});
  expect_refused(run_terse({"run", directory_ / "absent", "--prompt", "a"}), 3, {"absent"});
  expect_refused(run_terse({"inspect", directory_ / "text.txt"}), 3, {"text.txt", "directory"});
  fs::remove(weights_);
  expect_all_refuse({"m", "neither model.safetensors nor model.safetensors.index.json"});
  write_text(model_ / "pytorch_model.bin", "");
  expect_all_refuse({"pytorch_model.bin", "safetensors"});
  fs::remove(model_ / "config.json");
  expect_all_refuse({"config.json"});
}

TEST_F(BadInput, AMissingTokenizerStopsOnlyWhatNeedsIt) {
  fs::remove(model_ / "tokenizer.json");
  const Words parts{"tokenizer.json"};
  expect_done(run_terse({"inspect", model_}));
  expect_refused(run_terse({"run", model_, "--prompt", "a"}), 3, parts);
  expect_refused(run_terse({"eval", "perplexity", model_, "--text", directory_ / "text.txt"}), 3,
                 parts);
  json ids = json::array();
  for (int i = 0; i < 300; ++i) ids.push_back(i % 67);
  write_text(directory_ / "ids.json", ids.dump());
  expect_done(run_terse({"eval", "perplexity", model_, "--tokens", directory_ / "ids.json"}));
  expect_done(run_terse({"compress", model_, "-o", directory_ / "w", "--method", "rtn"}));
}

TEST_F(BadInput, AnUnknownTokenizerPartIsNamed) {
  const json tokenizer = json::parse(read_text(model_ / "tokenizer.json"));
  const auto refused = [&](const std::string& part, const json& value, const Words& parts) {
    json changed = tokenizer;
    changed[part] = value;
    write_text(model_ / "tokenizer.json", changed.dump());
    expect_refused(run_terse({"run", model_, "--prompt", "a"}), 3, parts);
  };
  refused("normalizer", {{"type", "Nmt"}}, {"tokenizer.json", "'Nmt'"});
  refused("pre_tokenizer", {{"type", "UnicodeScripts"}}, {"tokenizer.json", "'UnicodeScripts'"});
  refused("post_processor", {{"type", "Mystery"}}, {"tokenizer.json", "'Mystery'"});
  refused("decoder", {{"type", "CTC"}}, {"tokenizer.json", "'CTC'"});
  refused("model", {{"type", "WordPiece"}, {"vocab", json::object()}},
          {"tokenizer.json", "'WordPiece'"});
  refused("model", "BPE", {"tokenizer.json"});
  write_text(model_ / "tokenizer.json", "{");
  expect_refused(run_terse({"run", model_, "--prompt", "a"}), 3, {"tokenizer.json", "JSON"});
}

TEST_F(BadInput, TruncatedWeights) {
  const std::string whole = read_text(weights_);
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{8}, std::size_t{100},
                                 whole.size() / 2, whole.size() - 1}) {
    write_text(weights_, whole.substr(0, size));
    expect_refused(run_terse({"inspect", model_}), 3, {"model.safetensors"});
  }
  expect_all_refuse({"model.safetensors"});
}

TEST_F(BadInput, OversizedWeights) {
  write_text(weights_, read_text(weights_) + "more");
  expect_all_refuse({"model.safetensors"});
}

TEST_F(BadInput, LyingWeights) {
  const SafetensorsParts parts = read_parts(weights_);
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  const auto refused = [&](const std::string& key, const json& value, const Words& words) {
    SCOPED_TRACE(key + " = " + value.dump());
    SafetensorsParts changed = parts;
    changed.header[name][key] = value;
    write_parts(weights_, changed);
    expect_refused(run_terse({"inspect", model_}), 3, words);
  };
  const std::uint64_t begin = parts.header.at(name).at("data_offsets").at(0);
  const std::uint64_t end = parts.header.at(name).at("data_offsets").at(1);
  refused("data_offsets", {begin - 512, end - 512}, {"model.safetensors"});  // overlapping
  refused("data_offsets", {begin, end - 2}, {"model.safetensors", name});
  refused("data_offsets", {end, begin}, {"model.safetensors", name});
  refused("data_offsets", {begin, end + (1ULL << 40)}, {"model.safetensors"});
  refused("data_offsets", {-1, end}, {"model.safetensors"});
  refused("data_offsets", {begin}, {"model.safetensors"});
  refused("shape", {1ULL << 33, 1ULL << 33}, {"model.safetensors", name});
  refused("shape", {256, -128}, {"model.safetensors"});
  refused("shape", "wide", {"model.safetensors"});
  refused("dtype", "F7", {"model.safetensors", name, "F7"});
  refused("dtype", 16, {"model.safetensors"});
  refused("dtype", "F32", {"model.safetensors", name});
  std::string file = read_text(weights_);
  file.replace(0, 8, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8);
  write_text(weights_, file);
  expect_all_refuse({"model.safetensors"});
}

TEST_F(BadInput, ATensorOfAnotherShapeOrTypeIsNamed) {
  SafetensorsParts parts = read_parts(weights_);
  const std::string module = "model.layers.1.mlp.up_proj";
  json& entry = parts.header[module + ".weight"];
  entry["shape"] = {128, 256};
  write_parts(weights_, parts);
  expect_all_loading_refuse({module, "[128, 256]", "[256, 128]"});
  entry["shape"] = {256, 128};
  entry["dtype"] = "I16";
  write_parts(weights_, parts);
  expect_all_loading_refuse({module, "I16"});
}

TEST_F(BadInput, AMissingTensorIsNamed) {
  for (const char* name : {"model.layers.1.mlp.up_proj.weight", "model.norm.weight",
                           "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight"}) {
    write_tiny_model(model_);
    SafetensorsParts parts = read_parts(weights_);
    parts.header["renamed"] = parts.header.at(name);
    parts.header.erase(name);
    write_parts(weights_, parts);
    expect_all_loading_refuse({name});
  }
}

TEST_F(BadInput, AMissingShardIsNamed) {
  fs::rename(weights_, model_ / "model-00001-of-00002.safetensors");
  json index = {{"weight_map", json::object()}};
  const SafetensorsParts parts = read_parts(model_ / "model-00001-of-00002.safetensors");
  for (const auto& [name, entry] : parts.header.items()) {
    if (name != "__metadata__") index["weight_map"][name] = "model-00001-of-00002.safetensors";
  }
  write_text(model_ / "model.safetensors.index.json", index.dump());
  expect_done(run_terse({"inspect", model_}));
  json changed = index;
  changed["weight_map"]["model.norm.weight"] = "model-00002-of-00002.safetensors";
  write_text(model_ / "model.safetensors.index.json", changed.dump());
  expect_all_refuse({"model-00002-of-00002.safetensors", "No such file"});
  changed["weight_map"]["model.norm.weight"] = "../m/model-00001-of-00002.safetensors";
  write_text(model_ / "model.safetensors.index.json", changed.dump());
  expect_all_refuse({"model.norm.weight", "../m/"});
  changed = index;
  changed["weight_map"]["model.more.weight"] = "model-00001-of-00002.safetensors";
  write_text(model_ / "model.safetensors.index.json", changed.dump());
  expect_all_refuse({"model.more.weight", "model-00001-of-00002.safetensors"});
}

TEST_F(BadInput, ConfigsThatAreNoConfig) {
  const auto refused = [&](const std::string& text, const Words& parts) {
    write_text(model_ / "config.json", text);
    expect_refused(run_terse({"inspect", model_}), 3, parts);
  };
  refused("", {"config.json", "JSON"});
  refused("{", {"config.json", "JSON"});
  refused("[]", {"config.json", "object", "array"});
  refused("{}", {"config.json", "'model_type'", "missing"});
  refused(std::string(100000, '['), {"config.json", "deeper than 64"});
  refused("{\"a\":" + std::string(100000, '{'), {"config.json"});
  refused("{\"model_type\":\"llama\",\"model_type\":\"opt\"}", {"config.json", "repeats"});
  refused("{\"model_type\":\"\xff\"}", {"config.json"});
  refused("{\"model_type\":1e999}", {"config.json"});
}

TEST_F(BadInput, ConfigsWithWrongOrMissingKeys) {
  expect_config_refused("model_type", "mamba", {"config.json", "'mamba'", "llama", "gpt_neox"});
  expect_config_refused("model_type", 7, {"config.json", "model_type", "string", "number"});
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "intermediate_size", "max_position_embeddings"}) {
    for (const json& value :
         {json(), json("many"), json(2.5), json::array({1}), json(true), json(-1), json(0),
          json(1ULL << 63), json(INT64_MAX), json(INT64_MIN), json(1LL << 40)}) {
      expect_config_refused(key, value, {"config.json"});
    }
  }
  expect_config_refused("num_key_value_heads", 3, {"config.json", "4 attention heads", "3"});
  expect_config_refused("num_key_value_heads", 0, {"config.json", "key-value heads is 0"});
  expect_config_refused("num_key_value_heads", 8, {"config.json", "key-value heads is 8"});
  expect_config_refused("head_dim", 31, {"config.json", "31", "even"});
  expect_config_refused("head_dim", 0, {"config.json", "head size is 0"});
  expect_config_refused("head_dim", INT64_MAX, {"config.json", "head size"});
  expect_config_refused("hidden_act", "mish", {"config.json", "hidden_act", "'mish'", "silu"});
  expect_config_refused("rms_norm_eps", -1, {"config.json", "epsilon is -1"});
  expect_config_refused("rms_norm_eps", "small", {"config.json", "rms_norm_eps"});
  expect_config_refused("rope_theta", 0, {"config.json", "rope_theta is 0"});
  expect_config_refused("rope_theta", 1e-300, {"config.json", "rope_theta"});
  expect_config_refused("rope_scaling", "linear", {"config.json", "rope_scaling", "object"});
  expect_config_refused("rope_scaling", {{"type", "spiral"}}, {"config.json", "'spiral'", "yarn"});
  expect_config_refused("rope_scaling", {{"type", "linear"}}, {"config.json", "'factor'"});
  expect_config_refused("rope_scaling", {{"type", "linear"}, {"factor", 0}}, {"factor is 0"});
  expect_config_refused("tie_word_embeddings", "yes", {"config.json", "tie_word_embeddings"});
}

// Sizes that pass the bounds and not the tensors: refused before anything so large is allocated.
TEST_F(BadInput, HostileSizesMeetTheTensors) {
  expect_config_refused("vocab_size", 1 << 24, {"model.embed_tokens", "[16777216, 128]"});
  change_config("vocab_size", 67);
  change_config("intermediate_size", 1 << 22);
  expect_all_loading_refuse({"mlp", "4194304"});
  write_text(model_ / "config.json", tiny_config().dump());
  change_config("num_hidden_layers", 4096);
  expect_all_loading_refuse({"model.layers.2."});
}

TEST_F(BadInput, ValuesThatAreNotFiniteNameTheirTensor) {
  constexpr std::uint16_t kNan = 0x7fc0;
  constexpr std::uint16_t kInfinity = 0xff80;
  for (const char* name : {"model.layers.1.mlp.up_proj", "model.embed_tokens", "model.norm",
                           "model.layers.0.input_layernorm"}) {
    SCOPED_TRACE(name);
    write_tiny_model(model_);
    poke(weights_, std::string(name) + ".weight", 77, name[6] == 'l' ? kNan : kInfinity);
    expect_all_loading_refuse({name});
  }
}

TEST_F(BadInput, ActivationsThatOverflowNameTheirBlock) {
  constexpr std::uint16_t kHuge = 0x7f7f;  // the largest bfloat16
  SafetensorsParts changed = read_parts(weights_);
  const std::string name = "model.layers.1.self_attn.o_proj.weight";
  const std::size_t begin = changed.header.at(name).at("data_offsets").at(0);
  const std::size_t end = changed.header.at(name).at("data_offsets").at(1);
  for (std::size_t at = begin; at < end; at += 2) {
    std::memcpy(changed.data.data() + at, &kHuge, sizeof kHuge);
  }
  write_parts(weights_, changed);
  const std::string text = directory_ / "text.txt";
  const Words where{"block 1", "NaN or infinity"};
  expect_refused(run_terse({"compress", model_, "-o", directory_ / "w", "--method", "gptq",
                            "--calibration-text", text, "--calibration-samples", "2"}),
                 1, where);
  EXPECT_FALSE(fs::exists(directory_ / "w"));
  EXPECT_FALSE(fs::exists(directory_ / "w.part"));
  expect_refused(run_terse({"eval", "perplexity", model_, "--text", text}), 1, where);
  expect_refused(run_terse({"eval", "divergence", model_, model_, "--text", text}), 1, where);
  expect_refused(run_terse({"run", model_, "--prompt", "abc", "--json"}), 1, where);
  expect_refused(run_terse({"compress", model_, "-o", directory_ / "w", "--method", "gptq",
                            "--calibration-samples", "2"}),
                 1, where);
}

TEST_F(BadInput, AFileThatMayNotGrowIsAFailureThatLeavesNothing) {
  const std::vector<std::string> before = tree(directory_.path());
  for (const std::uint64_t bytes : {1000, 60000}) {
    expect_refused(run_terse({"compress", model_, "-o", directory_ / "w", "--method", "rtn"},
                             {.largest_file = bytes}),
                   1, {"w.part", "cannot write", "File too large"});
    EXPECT_EQ(tree(directory_.path()), before);
  }
}

// A file system of its own, where the system lets a test mount one.
class SmallDisk {
 public:
  SmallDisk(const fs::path& path, const std::string& size) : path_(path) {
    fs::create_directory(path);
    mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount(path_.c_str());
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }

 private:
  fs::path path_;
  bool mounted_ = false;
};

TEST_F(BadInput, AFullDiskIsAFailureThatLeavesNothing) {
  const SmallDisk disk(directory_ / "disk", "64k");
  if (!disk.mounted()) GTEST_SKIP() << "this user may not mount a file system";
  expect_refused(run_terse({"compress", model_, "-o", directory_ / "disk/w", "--method", "rtn"}), 1,
                 {"disk/w.part", "cannot write", "No space left"});
  EXPECT_TRUE(fs::is_empty(directory_ / "disk"));
}

TEST_F(BadInput, AFullDiskLeavesTheOlderOutput) {
  const SmallDisk disk(directory_ / "disk", "200k");
  if (!disk.mounted()) GTEST_SKIP() << "this user may not mount a file system";
  fs::create_directory(directory_ / "disk/w");
  write_text(directory_ / "disk/w/older.txt", "kept");
  expect_refused(run_terse({"compress", model_, "-o", directory_ / "disk/w", "--method", "rtn",
                            "--dequantize", "--force"}),
                 1, {"cannot write", "No space left"});
  EXPECT_THAT(tree(directory_ / "disk"), testing::ElementsAre("w", "w/older.txt"));
  EXPECT_EQ(read_text(directory_ / "disk/w/older.txt"), "kept");
}

}  // namespace
}  // namespace terse::test
