#include "terse/formats/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/expect_error.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/formats/safetensors.h"

namespace terse {
namespace {

using test::expect_error;
using test::TemporaryDirectory;

namespace fs = std::filesystem;
using testing::ElementsAre;

const fs::path kDocsLlama = fs::path(TERSE_SOURCE_DIR) / "models/docs-llama";

Tensor ints(std::initializer_list<std::int32_t> values) {
  return Tensor::from_values<std::int32_t>(DType::i32, {static_cast<std::int64_t>(values.size())},
                                           {values});
}

void write_weights(const fs::path& path, const std::vector<NamedTensor>& tensors) {
  SafetensorsWriter writer(path, {{"format", "pt"}});
  for (const NamedTensor& tensor : tensors) writer.add(tensor.name, tensor.tensor);
  writer.commit();
}

void refused(const fs::path& directory, const std::string& says) {
  expect_error(ErrorKind::bad_input, says, [&] { Checkpoint::open(directory); });
}

// Two shards with an index, as Hugging Face writes them.
class ShardedCheckpoint : public testing::Test {
 protected:
  ShardedCheckpoint() {
    write_file(directory_ / "config.json", R"({"model_type":"llama"})");
    write_weights(directory_ / "model-00001-of-00002.safetensors",
                  {{"b", ints({1, 2})}, {"extra", ints({9})}});
    write_weights(directory_ / "model-00002-of-00002.safetensors", {{"a", ints({3})}});
    write_index(
        {{"a", "model-00002-of-00002.safetensors"}, {"b", "model-00001-of-00002.safetensors"}});
  }

  void write_index(const Json& weight_map) {
    write_file(directory_ / "model.safetensors.index.json",
               Json{{"metadata", {{"total_size", 12}}}, {"weight_map", weight_map}}.dump());
  }

  TemporaryDirectory directory_;
};

TEST(Checkpoint, OpensTheEmbeddedModel) {
  const Checkpoint checkpoint = Checkpoint::open(kDocsLlama);
  EXPECT_EQ(checkpoint.config().at("model_type"), "llama");
  EXPECT_EQ(checkpoint.metadata().at("format"), "pt");
  EXPECT_EQ(checkpoint.dir(), kDocsLlama);
  EXPECT_TRUE(checkpoint.contains("model.norm.weight"));
  EXPECT_FALSE(checkpoint.contains("model.norm"));
  const std::vector<std::string> names = checkpoint.names();
  EXPECT_TRUE(std::ranges::is_sorted(names));
  std::uint64_t bytes = 0;
  for (const std::string& name : names) bytes += checkpoint.tensor(name).bytes().size();
  EXPECT_EQ(checkpoint.total_bytes(), bytes);
  const Tensor tensor = checkpoint.tensor("model.embed_tokens.weight");
  EXPECT_EQ(tensor.shape(), (Shape{4096, 256}));
  const auto values = tensor.to_floats();
  checkpoint.drop_pages("model.embed_tokens.weight");
  EXPECT_EQ(tensor.to_floats(), values);
}

TEST_F(ShardedCheckpoint, ReadsWhatTheIndexSays) {
  const Checkpoint checkpoint = Checkpoint::open(directory_.path());
  EXPECT_THAT(checkpoint.names(), ElementsAre("a", "b"));
  EXPECT_FALSE(checkpoint.contains("extra"));
  EXPECT_THAT(checkpoint.tensor("a").to_values<std::int32_t>(), ElementsAre(3));
  EXPECT_THAT(checkpoint.tensor("b").to_values<std::int32_t>(), ElementsAre(1, 2));
  EXPECT_EQ(checkpoint.total_bytes(), 12U);
  expect_error(ErrorKind::bad_input, "holds no tensor c", [&] { checkpoint.tensor("c"); });
}

TEST_F(ShardedCheckpoint, AFileWithoutShardsComesFirst) {
  write_weights(directory_ / "model.safetensors", {{"only", ints({1})}});
  EXPECT_THAT(Checkpoint::open(directory_.path()).names(), ElementsAre("only"));
}

TEST_F(ShardedCheckpoint, RefusesAMissingShardAndAMissingTensor) {
  write_index({{"a", "model-00003-of-00003.safetensors"}});
  refused(directory_.path(), "model-00003-of-00003.safetensors: No such file");
  write_index({{"c", "model-00001-of-00002.safetensors"}});
  refused(directory_.path(), "tensor c is not in model-00001-of-00002.safetensors");
}

TEST_F(ShardedCheckpoint, RefusesShardsOutsideTheDirectory) {
  fs::create_directory(directory_ / "inner");
  write_weights(directory_ / "inner" / "x.safetensors", {{"a", ints({3})}});
  for (const std::string& file :
       {std::string("inner/x.safetensors"), std::string("../x.safetensors"), std::string(".."),
        std::string("."), std::string(), (directory_ / "x.safetensors").string(),
        std::string("model-00002-of-00002.safetensors\0x", 34)}) {
    write_index({{"a", file}});
    refused(directory_.path(), "is not the name of a file in the directory");
  }
}

TEST_F(ShardedCheckpoint, RefusesAnIndexThatIsNone) {
  const fs::path index = directory_ / "model.safetensors.index.json";
  write_index({{"a", 1}});
  refused(directory_.path(), "weight_map 'a': expected a file name, found number");
  write_index(Json::array());
  refused(directory_.path(), "key 'weight_map': expected an object");
  write_file(index, "{}");
  refused(directory_.path(), "model.safetensors.index.json: key 'weight_map' is missing");
  write_file(index, "[");
  refused(directory_.path(), "model.safetensors.index.json: not valid JSON");
}

TEST(Checkpoint, RefusesDirectoriesThatAreNone) {
  const TemporaryDirectory directory;
  refused(directory / "absent", "absent: is not a directory");
  refused(kDocsLlama / "model.safetensors", "is not a directory");
  refused(directory.path(), "config.json: No such file");
  write_file(directory / "config.json", "[]");
  refused(directory.path(), "config.json: expected an object, found array");
  write_file(directory / "config.json", "{}");
  refused(directory.path(), "holds neither model.safetensors nor model.safetensors.index.json");
  write_file(directory / "pytorch_model.bin", "x");
  refused(directory.path(), "holds pytorch_model.bin, but only safetensors can be read");
  write_file(directory / "model.safetensors", "x");
  refused(directory.path(), "model.safetensors: not a safetensors file");
}

}  // namespace
}  // namespace terse
