// Files of teacher outputs: what comes back, and files that lie.
#include "terse/formats/teacher_outputs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.h"
#include "support/temporary_directory.h"
#include "terse/formats/safetensors.h"

namespace terse {
namespace {

using test::expect_error;
namespace fs = std::filesystem;

// Half a step of a log-probability.
constexpr float kLogTolerance = 0.5F / 2048 + 1e-6F;

TeacherOutputsInfo info_of(std::int64_t vocab_size, std::int64_t top_k) {
  return {vocab_size, 3, 2, top_k, {{"text", "abc"}, {"teacher's config.json", "def"}}};
}

// Of a position: ids and log-probabilities that are all different.
std::vector<std::int64_t> ids_of(const TeacherOutputsInfo& info, std::int64_t position) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(info.top_k));
  for (std::int64_t i = 0; i < info.top_k; ++i) {
    const bool all = info.top_k == info.vocab_size;
    ids[static_cast<std::size_t>(i)] =
        all ? i : info.vocab_size - 1 - position - 7 * (info.top_k - 1 - i);
  }
  return ids;
}

std::vector<float> values_of(const TeacherOutputsInfo& info, std::int64_t position) {
  std::vector<float> values(static_cast<std::size_t>(info.outcomes()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = -0.0001F * static_cast<float>(position + 1) * std::pow(7.0F, static_cast<float>(i));
  }
  return values;
}

void write(const fs::path& path, const TeacherOutputsInfo& info) {
  TeacherOutputsWriter writer(path, info);
  for (std::int64_t i = 0; i < info.positions(); ++i) {
    writer.add(ids_of(info, i), values_of(info, i));
  }
  writer.commit();
}

class TeacherOutputsFile : public testing::Test {
 protected:
  fs::path path() const { return directory_ / "teacher.safetensors"; }

  // A file with one tensor, that reads as `info` with some of its metadata changed.
  void forge(const SafetensorsMetadata& changes, DType dtype, const Shape& shape,
             const std::string& name = "teacher_outputs") const {
    SafetensorsMetadata metadata{{"format", "terse teacher outputs 1"},
                                 {"vocab_size", "9"},
                                 {"window", "3"},
                                 {"windows", "2"},
                                 {"top_k", "2"}};
    for (const auto& [key, value] : changes) metadata[key] = value;
    const auto bytes = static_cast<std::size_t>(element_count(shape)) * dtype_size(dtype);
    SafetensorsWriter writer(path(), metadata);
    writer.add(name, Tensor::from_bytes(dtype, shape, std::vector<std::byte>(bytes)));
    writer.commit();
  }

  void expect_refused(const std::string& says) const {
    expect_error(ErrorKind::bad_input, says, [&] { TeacherOutputs::open(path()); });
  }

  test::TemporaryDirectory directory_;
};

TEST_F(TeacherOutputsFile, GivesBackWhatWasWritten) {
  for (const auto& [vocab_size, top_k] : {std::pair<std::int64_t, std::int64_t>{60, 4},
                                          {65536, 4},
                                          {65537, 4},
                                          {200000, 1},
                                          {5, 5}}) {
    const TeacherOutputsInfo info = info_of(vocab_size, top_k);
    write(path(), info);
    const TeacherOutputs outputs = TeacherOutputs::open(path());
    EXPECT_EQ(outputs.info().difference(info), "");
    EXPECT_EQ(info.outcomes(), vocab_size == top_k ? top_k : top_k + 1);
    std::vector<std::int64_t> ids(static_cast<std::size_t>(top_k));
    std::vector<float> values(static_cast<std::size_t>(info.outcomes()));
    for (const std::int64_t position : {5, 0, 3}) {
      outputs.read(position, ids, values);
      EXPECT_EQ(ids, ids_of(info, position));
      for (std::size_t i = 0; i < values.size(); ++i) {
        EXPECT_NEAR(values[i], std::max(values_of(info, position)[i], -65535.0F / 2048),
                    kLogTolerance);
      }
    }
  }
}

TEST_F(TeacherOutputsFile, IsAsSmallAsItSays) {
  const TeacherOutputsInfo info{1000, 100, 50, 8, {}};
  write(path(), info);
  EXPECT_NEAR(static_cast<double>(fs::file_size(path())), 5000 * (8 * 2 + 9 * 2), 400);
}

TEST_F(TeacherOutputsFile, IsThereWholeOrNotAtAll) {
  const TeacherOutputsInfo info = info_of(60, 4);
  expect_error(ErrorKind::failed, "1 of 6 positions", [&] {
    TeacherOutputsWriter writer(path(), info);
    writer.add(ids_of(info, 0), values_of(info, 0));
    writer.commit();
  });
  EXPECT_TRUE(fs::is_empty(directory_.path()));
}

TEST_F(TeacherOutputsFile, SaysWhatDiffers) {
  const TeacherOutputsInfo wanted = info_of(60, 4);
  const auto differs = [&](const std::function<void(TeacherOutputsInfo&)>& change) {
    TeacherOutputsInfo other = wanted;
    change(other);
    return other.difference(wanted);
  };
  EXPECT_EQ(differs([](auto& i) { i.vocab_size = 61; }),
            "a vocabulary of 61 tokens where 60 are wanted");
  EXPECT_EQ(differs([](auto& i) { i.window = 4; }), "a window of 4 tokens where 3 are wanted");
  EXPECT_EQ(differs([](auto& i) { i.windows = 4; }), "4 windows where 2 are wanted");
  EXPECT_EQ(differs([](auto& i) { i.top_k = 3; }), "the 3 most probable tokens where 4 are wanted");
  EXPECT_EQ(differs([](auto& i) { i.made_from["text"] = "x"; }),
            "another text (digest x where abc is wanted)");
  EXPECT_EQ(differs([](auto& i) { i.made_from.erase("text"); }), "nothing of text");
  EXPECT_EQ(differs([](auto& i) { i.made_from["more"] = "x"; }), "also more");
}

TEST_F(TeacherOutputsFile, RefusesFilesThatLie) {
  const Shape right{6, 5};
  forge({}, DType::u16, right);
  EXPECT_NO_THROW(TeacherOutputs::open(path()));
  forge({{"format", "pt"}}, DType::u16, right);
  expect_refused("teacher.safetensors: is no file of teacher outputs");
  forge({{"window", "-3"}}, DType::u16, right);
  expect_refused("window is '-3' in the metadata; expected an integer from 1");
  forge({{"top_k", "10"}}, DType::u16, right);
  expect_refused("top_k is '10' in the metadata; expected an integer from 1 to 9");
  forge({{"windows", "2x"}}, DType::u16, right);
  expect_refused("windows is '2x'");
  forge({{"windows", "99999999999"}}, DType::u16, right);
  expect_refused("windows is '99999999999'");
  forge({{"windows", "2147483647"},
         {"window", "2147483647"},
         {"vocab_size", "2147483647"},
         {"top_k", "2147483646"}},
        DType::u16, right);
  expect_refused("expected one tensor teacher_outputs of U16 [4611686014132420609, 6442450939]");
  for (const Shape& shape : {Shape{6, 4}, Shape{5, 5}, Shape{30}, Shape{0, 5}}) {
    forge({}, DType::u16, shape);
    expect_refused("expected one tensor teacher_outputs of U16 [6, 5]");
  }
  forge({}, DType::f16, right);
  expect_refused("of U16 [6, 5]");
  forge({}, DType::u16, right, "others");
  expect_refused("expected one tensor teacher_outputs");
  forge({}, DType::u16, right);
  fs::resize_file(path(), fs::file_size(path()) - 1);
  expect_refused("truncated");
}

TEST_F(TeacherOutputsFile, RefusesPositionsThatAreNone) {
  forge({}, DType::u16, {6, 5});
  std::vector<std::int64_t> ids(2);
  std::vector<float> values(3);
  // Zeros: the same id twice.
  const TeacherOutputs forged = TeacherOutputs::open(path());
  expect_error(ErrorKind::bad_input, "position 0: the token ids are not in rising order",
               [&] { forged.read(0, ids, values); });
  const TeacherOutputsInfo info = info_of(60, 2);
  for (const std::int64_t position : {-1, 6}) {
    expect_error(ErrorKind::bad_input, "there are 6 positions",
                 [&] { forged.read(position, ids, values); });
  }
  TeacherOutputsWriter writer(path(), info);
  for (std::int64_t i = 0; i < 6; ++i) {
    const std::vector<std::int64_t> outside{3, 60};
    writer.add(outside, values_of(info, i));
  }
  writer.commit();
  const TeacherOutputs other = TeacherOutputs::open(path());
  expect_error(ErrorKind::bad_input, "within the vocabulary of 60",
               [&] { other.read(2, ids, values); });
}

}  // namespace
}  // namespace terse
