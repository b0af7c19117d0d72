#include "terse/formats/checkpoint_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <set>

#include "support/expect_error.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/core/random.h"
#include "terse/formats/checkpoint.h"

namespace terse {
namespace {

using test::expect_error;
using test::TemporaryDirectory;

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

const fs::path kDocsLlama = fs::path(TERSE_SOURCE_DIR) / "models/docs-llama";

Tensor bytes_tensor(std::size_t bytes, std::uint64_t seed = 0) {
  Random random(seed);
  std::vector<std::byte> values(bytes);
  for (std::byte& value : values) value = static_cast<std::byte>(random.below(256));
  return Tensor::from_bytes(DType::u8, {static_cast<std::int64_t>(bytes)}, std::move(values));
}

std::set<std::string> files_in(const fs::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    names.insert(fs::relative(entry.path(), directory).string());
  }
  return names;
}

void write_small(const fs::path& directory, const CheckpointWriterOptions& options = {},
                 std::uint64_t seed = 0) {
  CheckpointWriter writer(directory, options);
  writer.add("x", bytes_tensor(4, seed));
  writer.finish({{"model_type", "llama"}});
}

void expect_same_tensors(const Checkpoint& a, const Checkpoint& b) {
  ASSERT_EQ(a.names(), b.names());
  for (const std::string& name : a.names()) {
    const Tensor left = a.tensor(name);
    const Tensor right = b.tensor(name);
    EXPECT_EQ(left.dtype(), right.dtype()) << name;
    EXPECT_EQ(left.shape(), right.shape()) << name;
    EXPECT_TRUE(std::ranges::equal(left.bytes(), right.bytes())) << name;
  }
}

void copy_checkpoint(const Checkpoint& from, const fs::path& to,
                     CheckpointWriterOptions options = {}) {
  options.input = from.dir();
  options.metadata = from.metadata();
  CheckpointWriter writer(to, options);
  for (const std::string& name : from.names()) writer.add(name, from.tensor(name));
  copy_side_files(from.dir(), writer.staging());
  writer.finish(from.config());
}

TEST(CheckpointWriter, LoadThenSaveKeepsEveryByteOfTheEmbeddedModel) {
  const TemporaryDirectory directory;
  const Checkpoint original = Checkpoint::open(kDocsLlama);
  copy_checkpoint(original, directory / "out");
  const Checkpoint copy = Checkpoint::open(directory / "out");
  expect_same_tensors(original, copy);
  EXPECT_EQ(copy.config(), original.config());
  EXPECT_EQ(copy.metadata(), original.metadata());
  EXPECT_EQ(files_in(directory / "out"), files_in(kDocsLlama));
  for (const char* name : {"README.md", "generation_config.json", "tokenizer.json"}) {
    EXPECT_EQ(read_file(directory / "out" / name), read_file(kDocsLlama / name)) << name;
  }
  EXPECT_THAT(files_in(directory.path()), testing::Not(testing::Contains("out.part")));
}

TEST(CheckpointWriter, LoadThenSaveKeepsEveryTypeShardedAndUnaligned) {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "in");
  write_file(directory / "in" / "config.json", "{}");
  Random random(4);
  const std::vector<DType> types{DType::boolean, DType::u8,  DType::i8,  DType::f8_e4m3,
                                 DType::f8_e5m2, DType::i16, DType::u16, DType::f16,
                                 DType::bf16,    DType::i32, DType::u32, DType::f32,
                                 DType::f64,     DType::i64, DType::u64};
  // By hand, one byte first: everything after it is unaligned.
  std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  std::size_t end = 1;
  for (const DType type : types) {
    const std::size_t begin = end;
    end += 6 * dtype_size(type);
    header += fmt::format(R"(,"t{0}":{{"dtype":"{0}","shape":[2,3],"data_offsets":[{1},{2}]}})",
                          dtype_name(type), begin, end);
  }
  header += "}";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size() & 0xff);
  file[1] = static_cast<char>(header.size() >> 8);
  file += header;
  for (std::size_t i = 0; i < end; ++i) file += static_cast<char>(random.below(256));
  write_file(directory / "in" / "model.safetensors", file);

  const Checkpoint original = Checkpoint::open(directory / "in");
  for (const std::uint64_t shard_bytes : {1U, 20U, 50U, 1000U}) {
    const fs::path out = directory / std::to_string(shard_bytes);
    CheckpointWriterOptions options;
    options.max_shard_bytes = shard_bytes;
    copy_checkpoint(original, out, options);
    expect_same_tensors(original, Checkpoint::open(out));
    EXPECT_EQ(fs::exists(out / "model.safetensors"), shard_bytes == 1000U);
  }
}

TEST(CheckpointWriter, ShardsHoldAtMostWhatIsAllowed) {
  const TemporaryDirectory directory;
  CheckpointWriterOptions options;
  options.max_shard_bytes = 10;
  CheckpointWriter writer(directory / "out", options);
  // z and y fill one shard, the large x has its own, w begins a third.
  writer.add("z", bytes_tensor(6));
  writer.add("y", bytes_tensor(4));
  writer.add("x", bytes_tensor(25));
  writer.add("w", bytes_tensor(1));
  EXPECT_FALSE(fs::exists(directory / "out"));
  writer.finish(Json::object());
  const std::string names[] = {"model-00001-of-00003.safetensors",
                               "model-00002-of-00003.safetensors",
                               "model-00003-of-00003.safetensors"};
  EXPECT_THAT(files_in(directory / "out"),
              UnorderedElementsAre(names[0], names[1], names[2], "config.json",
                                   "model.safetensors.index.json"));
  EXPECT_THAT(SafetensorsFile::open(directory / "out" / names[0]).names(), ElementsAre("z", "y"));
  EXPECT_THAT(SafetensorsFile::open(directory / "out" / names[1]).names(), ElementsAre("x"));
  EXPECT_THAT(SafetensorsFile::open(directory / "out" / names[2]).names(), ElementsAre("w"));
  const Json index = read_json(directory / "out" / "model.safetensors.index.json");
  EXPECT_EQ(index["metadata"]["total_size"], 36);
  const Json weight_map{{"z", names[0]}, {"y", names[0]}, {"x", names[1]}, {"w", names[2]}};
  EXPECT_EQ(index["weight_map"], weight_map);
}

TEST(CheckpointWriter, SameInputGivesTheSameBytes) {
  const TemporaryDirectory directory;
  for (const char* name : {"a", "b"}) {
    CheckpointWriterOptions options;
    options.max_shard_bytes = 5;
    copy_checkpoint(Checkpoint::open(kDocsLlama), directory / name, options);
  }
  const auto files = files_in(directory / "a");
  EXPECT_EQ(files, files_in(directory / "b"));
  for (const std::string& file : files) {
    EXPECT_EQ(read_file(directory / "a" / file), read_file(directory / "b" / file)) << file;
  }
}

TEST(CheckpointWriter, ACheckpointWithoutTensorsIsComplete) {
  const TemporaryDirectory directory;
  CheckpointWriter(directory / "out").finish(Json::object());
  EXPECT_TRUE(Checkpoint::open(directory / "out").names().empty());
}

TEST(CheckpointWriter, RefusesARepeatedName) {
  const TemporaryDirectory directory;
  CheckpointWriterOptions options;
  options.max_shard_bytes = 1;
  CheckpointWriter writer(directory / "out", options);
  writer.add("x", bytes_tensor(4));
  expect_error(ErrorKind::failed, "tensor x was written before",
               [&] { writer.add("x", bytes_tensor(4)); });
}

TEST(CheckpointWriter, AnUnfinishedOutputLeavesNothing) {
  const TemporaryDirectory directory;
  {
    CheckpointWriter writer(directory / "out");
    writer.add("x", bytes_tensor(4));
    EXPECT_TRUE(fs::exists(directory / "out.part"));
  }
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

TEST(CheckpointWriter, AnExistingOutputStaysUnlessForced) {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "out");
  write_small(directory / "out");  // an empty directory is nobody's work
  const std::string before = read_file(directory / "out" / "model.safetensors");
  expect_error(ErrorKind::bad_input, "out: exists already; choose another output or use --force",
               [&] { CheckpointWriter(directory / "out"); });
  write_file(directory / "file", "x");
  CheckpointWriterOptions force;
  force.force = true;
  expect_error(ErrorKind::bad_input, "file: exists and is no directory",
               [&] { CheckpointWriter(directory / "file", force); });
  write_file(directory / "out" / "old", "x");
  {
    CheckpointWriter writer(directory / "out", force);
    writer.add("x", bytes_tensor(4, 1));
    EXPECT_EQ(read_file(directory / "out" / "model.safetensors"), before);
  }
  EXPECT_EQ(read_file(directory / "out" / "model.safetensors"), before);
  write_small(directory / "out/", force, 1);
  EXPECT_NE(read_file(directory / "out" / "model.safetensors"), before);
  EXPECT_THAT(files_in(directory / "out"),
              UnorderedElementsAre("config.json", "model.safetensors"));
  EXPECT_FALSE(fs::exists(directory / "out.part"));
}

TEST(CheckpointWriter, RefusesAnOutputThatAppearsMeanwhile) {
  const TemporaryDirectory directory;
  CheckpointWriter writer(directory / "out");
  fs::create_directory(directory / "out");
  write_file(directory / "out" / "precious", "x");
  EXPECT_THROW(writer.finish(Json::object()), Error);
  EXPECT_EQ(read_file(directory / "out" / "precious"), "x");
}

TEST(CheckpointWriter, InputAndOutputMayNotTouch) {
  const TemporaryDirectory directory;
  write_small(directory / "in");
  fs::create_directory_symlink(directory / "in", directory / "link");
  CheckpointWriterOptions options;
  options.force = true;
  options.input = directory / "in";
  for (const fs::path& out :
       {directory / "in", directory / "in/", directory / "in/out", directory / "link",
        directory / "link/x/y", directory / "in/../in", directory.path()}) {
    expect_error(ErrorKind::usage, "must lie apart", [&] { CheckpointWriter(out, options); });
  }
  EXPECT_THAT(files_in(directory / "in"), UnorderedElementsAre("config.json", "model.safetensors"));
  write_small(directory / "in2", options);  // a name that begins alike is apart
}

TEST(CheckpointWriter, CleansUpAfterAKilledProcessOnly) {
  const TemporaryDirectory directory;
  fs::create_directories(directory / "out.part" / "left");
  write_file(directory / "out.part" / "left" / "over", "x");
  expect_error(ErrorKind::bad_input, "out.part: exists and is no unfinished output",
               [&] { CheckpointWriter(directory / "out"); });
  EXPECT_TRUE(fs::exists(directory / "out.part" / "left" / "over"));
  write_file(directory / "out.part" / ".terse-part", "");
  write_small(directory / "out");
  EXPECT_THAT(files_in(directory / "out"),
              UnorderedElementsAre("config.json", "model.safetensors"));
}

TEST(CheckpointWriter, AKilledProcessLeavesNoOutput) {
  const TemporaryDirectory directory;
  const pid_t child = ::fork();
  if (child == 0) {
    CheckpointWriter writer(directory / "out");
    writer.add("x", bytes_tensor(100'000));
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(files_in(directory.path()),
            (std::set<std::string>{"out.part", "out.part/.terse-part"}));
  write_small(directory / "out");
  EXPECT_EQ(files_in(directory.path()),
            (std::set<std::string>{"out", "out/config.json", "out/model.safetensors"}));
}

TEST(CheckpointWriter, TwoWritersOfOneOutputDoNotMix) {
  const TemporaryDirectory directory;
  CheckpointWriter writer(directory / "out");
  writer.add("x", bytes_tensor(4));
  expect_error(ErrorKind::bad_input, "another process is writing it",
               [&] { CheckpointWriter(directory / "out"); });
  writer.finish(Json::object());
  EXPECT_THAT(Checkpoint::open(directory / "out").names(), ElementsAre("x"));
}

// A limit on the size of files stands for a full disk: writes fail midway in the same manner.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST(CheckpointWriter, AFullDiskLosesNothing) {
  const TemporaryDirectory directory;
  write_small(directory / "out");
  const std::string before = read_file(directory / "out" / "model.safetensors");
  CheckpointWriterOptions options;
  options.force = true;
  options.max_shard_bytes = 1;
  // Fails in the tensor, and when the header comes on top of it.
  for (const std::size_t bytes : {10'000U, 4'000U}) {
    const FullDisk full(4'096);
    expect_error(ErrorKind::failed, "cannot write: File too large", [&] {
      CheckpointWriter writer(directory / "out", options);
      writer.add("small", bytes_tensor(4));
      writer.add("large", bytes_tensor(bytes));
      writer.finish(Json::object());
    });
  }
  EXPECT_EQ(files_in(directory.path()),
            (std::set<std::string>{"out", "out/config.json", "out/model.safetensors"}));
  EXPECT_EQ(read_file(directory / "out" / "model.safetensors"), before);
}

TEST(CheckpointWriter, SaysWhereItCannotWrite) {
  expect_error(ErrorKind::failed, "/proc/nowhere", [] { CheckpointWriter("/proc/nowhere/out"); });
}

TEST(SideFiles, AreCopiedByteForByteWithoutWeights) {
  const TemporaryDirectory directory;
  const fs::path from = directory / "from";
  fs::create_directories(from / "nested" / "deep");
  fs::create_directories(from / ".git");
  const std::string binary("\0\xff\r\n", 4);
  for (const char* name : {"tokenizer.json", "chat_template.jinja", "empty", ".gitattributes",
                           "nested/config.json", "nested/deep/vocab.txt"}) {
    write_file(from / name, name == std::string("empty") ? "" : binary + name);
  }
  for (const char* name :
       {"config.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
        "pytorch_model.bin.index.json", "nested/consolidated.00.pth", "m.gguf", ".git/HEAD"}) {
    write_file(from / name, "x");
  }
  write_file(directory / "blob", "linked");
  fs::create_symlink("../blob", from / "linked.txt");
  fs::create_directory_symlink("nested", from / "linked");
  copy_side_files(from, directory / "to");
  EXPECT_EQ(files_in(directory / "to"),
            (std::set<std::string>{"tokenizer.json", "chat_template.jinja", "empty",
                                   ".gitattributes", "nested", "nested/config.json", "nested/deep",
                                   "nested/deep/vocab.txt", "linked.txt"}));
  EXPECT_FALSE(fs::is_symlink(directory / "to" / "linked.txt"));
  EXPECT_EQ(read_file(directory / "to" / "linked.txt"), "linked");
  EXPECT_EQ(read_file(directory / "to" / "empty"), "");
  EXPECT_EQ(read_file(directory / "to" / "tokenizer.json"), binary + "tokenizer.json");
}

TEST(SideFiles, SayWhatCannotBeCopied) {
  const TemporaryDirectory directory;
  expect_error(ErrorKind::failed, "absent",
               [&] { copy_side_files(directory / "absent", directory / "to"); });
}

}  // namespace
}  // namespace terse
