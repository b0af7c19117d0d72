#include "terse/formats/safetensors.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/expect_error.h"
#include "support/temporary_directory.h"
#include "terse/core/json.h"
#include "terse/core/random.h"

namespace terse {
namespace {

using test::expect_error;
using test::TemporaryDirectory;
using testing::ElementsAre;

constexpr DType kAllTypes[] = {DType::boolean, DType::u8,  DType::i8,  DType::f8_e4m3,
                               DType::f8_e5m2, DType::i16, DType::u16, DType::f16,
                               DType::bf16,    DType::i32, DType::u32, DType::f32,
                               DType::f64,     DType::i64, DType::u64};

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// A whole file: the header's length, the header and `data_bytes` bytes that count up.
std::string file_with(const std::string& header, std::size_t data_bytes = 0) {
  std::string file;
  for (std::size_t i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xff);
  file += header;
  for (std::size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

void expect_refused(const std::string& file, const std::string& part) {
  expect_error(ErrorKind::bad_input, part, [&] { parse_safetensors_header(bytes_of(file)); });
}

std::string entry(const std::string& fields) {
  return fmt::format(R"({{"x":{{{}}}}})", fields);
}

Tensor random_tensor(DType dtype, Shape shape, Random& random) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(element_count(shape)) * dtype_size(dtype));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
  return Tensor::from_bytes(dtype, std::move(shape), std::move(bytes));
}

void expect_same(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.dtype(), b.dtype());
  EXPECT_EQ(a.shape(), b.shape());
  EXPECT_TRUE(std::ranges::equal(a.bytes(), b.bytes()));
}

TEST(SafetensorsHeader, ReadsAFileWrittenByHand) {
  const std::string file = file_with(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I8","shape":[],"data_offsets":[8,9]},)"
      R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}} )",
      9);
  const SafetensorsHeader header = parse_safetensors_header(bytes_of(file));
  ASSERT_EQ(header.tensors.size(), 2U);
  EXPECT_EQ(header.tensors[0].name, "b");
  EXPECT_EQ(header.tensors[0].shape, Shape{});
  EXPECT_EQ(header.tensors[1].dtype, DType::f32);
  EXPECT_EQ(header.tensors[1].shape, (Shape{2, 1}));
  EXPECT_EQ(header.tensors[1].begin, 0U);
  EXPECT_EQ(header.tensors[1].end, 8U);
  EXPECT_EQ(header.metadata.at("format"), "pt");
  EXPECT_EQ(header.data_begin, file.size() - 9);
}

TEST(SafetensorsHeader, AcceptsEmptyTensorsAndNoTensors) {
  EXPECT_TRUE(parse_safetensors_header(bytes_of(file_with("{}"))).tensors.empty());
  const std::string file = file_with(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                                     R"("a":{"dtype":"F32","shape":[3,0],"data_offsets":[4,4]},)"
                                     R"("c":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
                                     4);
  EXPECT_EQ(parse_safetensors_header(bytes_of(file)).tensors.size(), 3U);
}

TEST(SafetensorsHeader, RefusesLyingLengths) {
  expect_refused("", "too few");
  expect_refused("1234567", "too few");
  expect_refused(std::string(8, '\0'), "does not begin with");
  expect_refused(file_with("{}").substr(0, 9), "truncated");
  std::string huge = file_with("{}");
  huge[7] = '\x7f';
  expect_refused(huge, "over the limit of 100000000");
  std::string over_limit = file_with("{}");
  over_limit.replace(0, 8, std::string("\x01\xe1\xf5\x05\0\0\0\0", 8));  // 100,000,001
  expect_refused(over_limit, "100000001 bytes, over the limit");
}

TEST(SafetensorsHeader, RefusesWhatIsNoHeader) {
  expect_refused(file_with("[]"), "does not begin with");
  expect_refused(file_with(" {}"), "does not begin with");
  expect_refused(file_with("{\"a\":"), "not valid JSON");
  expect_refused(file_with("{} x"), "not valid JSON");
  expect_refused(file_with("{\"\xff\":{}}"), "not valid JSON");
  expect_refused(file_with("{\"x\":3}"), "'x': expected an object, found 3");
  expect_refused(file_with("{\"x\":[]}"), "expected an object, found an array");
  expect_refused(file_with("{\"x\":null}"), "found null");
}

TEST(SafetensorsHeader, RefusesWrongFields) {
  const std::string dtype = R"("dtype":"U8")";
  const std::string shape = R"("shape":[2])";
  const std::string offsets = R"("data_offsets":[0,2])";
  const auto refused = [&](const std::string& fields, const std::string& part) {
    expect_refused(file_with(entry(fields), 2), part);
  };
  EXPECT_NO_THROW(
      parse_safetensors_header(bytes_of(file_with(entry(offsets + "," + shape + "," + dtype), 2))));
  refused(dtype + "," + shape, "tensor x: needs dtype, shape and two data_offsets");
  refused(dtype + "," + offsets, "needs dtype");
  refused(shape + "," + offsets, "needs dtype");
  refused(dtype + "," + shape + "," + R"("data_offsets":[2])", "needs dtype");
  refused(dtype + "," + shape + "," + R"("data_offsets":[0,1,2])", "more than two");
  refused(dtype + "," + shape + "," + offsets + R"(,"extra":1)", "unknown key 'extra'");
  refused(dtype + "," + dtype + "," + shape + "," + offsets, "repeats dtype");
  refused(shape + "," + shape + "," + dtype + "," + offsets, "repeats shape");
  refused(R"("dtype":"F4",)" + shape + "," + offsets, "dtype 'F4' is not supported");
  refused(R"("dtype":"float32",)" + shape + "," + offsets, "dtype 'float32' is not supported");
  refused(R"("dtype":7,)" + shape + "," + offsets, "dtype cannot hold 7");
  refused(R"("dtype":["U8"],)" + shape + "," + offsets, "dtype cannot hold an array");
  refused(R"("dtype":{},)" + shape + "," + offsets, "dtype cannot hold an object");
  refused(dtype + R"(,"shape":[-2],)" + offsets, "negative number -2");
  refused(dtype + R"(,"shape":[2.0],)" + offsets, "shape cannot hold 2.0");
  refused(dtype + R"(,"shape":[[2]],)" + offsets, "shape cannot hold an array");
  refused(dtype + R"(,"shape":["2"],)" + offsets, "shape cannot hold the text '2'");
  refused(dtype + R"(,"shape":2,)" + offsets, "shape cannot hold 2");
  refused(dtype + R"(,"shape":[18446744073709551615],)" + offsets, "dimension");
  refused(dtype + R"(,"shape":[99999999999999999999],)" + offsets, "shape cannot hold");
}

TEST(SafetensorsHeader, RefusesTooManyDimensions) {
  std::string ones = "1";
  for (int i = 1; i < 65; ++i) ones += ",1";
  expect_refused(
      file_with(entry(R"("dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1])"), 1),
      "more than 64 dimensions");
}

TEST(SafetensorsHeader, RefusesSizesThatDoNotFit) {
  const auto refused = [&](const std::string& dtype, const std::string& shape,
                           const std::string& offsets, const std::string& part) {
    const std::string fields =
        "\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]";
    expect_refused(file_with(entry(fields), 8), part);
  };
  refused("F32", "3", "0,8", "do not hold F32 of shape [3]");
  refused("F32", "2", "0,7", "do not hold");
  refused("F32", "2", "8,0", "do not hold");
  refused("F32", "4294967296,4294967296", "0,8", "no valid number of elements");
  refused("F64", "2305843009213693952", "0,8", "do not hold");
  refused("U8", "9", "0,9", "ends at byte 9 of the data, but the file has only 8");
  refused("U8", "7", "0,7", "1 bytes follow the last tensor");
  refused("U8", "7", "1,8", "a gap");
  refused("U8", "8", "18446744073709551608,18446744073709551615", "do not hold");
  refused("U8", "7", "18446744073709551608,18446744073709551615", "a gap");
}

TEST(SafetensorsHeader, RefusesOverlapsGapsAndRepeats) {
  const auto two = [](const std::string& first, const std::string& second,
                      const std::string& name = "b") {
    return file_with(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + first + "},\"" + name +
                         R"(":{"dtype":"U8","shape":[2],"data_offsets":)" + second + "}}",
                     4);
  };
  EXPECT_NO_THROW(parse_safetensors_header(bytes_of(two("[2,4]", "[0,2]"))));
  expect_refused(two("[0,2]", "[1,3]"), "tensors overlap");
  expect_refused(two("[0,2]", "[0,2]"), "tensors overlap");
  expect_refused(two("[0,2]", "[3,5]"), "a gap");
  expect_refused(two("[0,2]", "[2,4]", "a"), "repeats the key 'a'");
}

TEST(SafetensorsHeader, RefusesWrongMetadata) {
  expect_refused(file_with(R"({"__metadata__":{"a":1}})"), "__metadata__ 'a': expected a string");
  expect_refused(file_with(R"({"__metadata__":{"a":{}}})"), "expected a string, found an object");
  expect_refused(file_with(R"({"__metadata__":"a"})"), "expected an object, found the text 'a'");
  expect_refused(file_with(R"({"__metadata__":{"a":"1","a":"2"}})"), "__metadata__ repeats 'a'");
  expect_refused(file_with(R"({"__metadata__":{},"__metadata__":{}})"), "repeats the key");
}

TEST(SafetensorsHeader, EveryTruncationAndManyFlippedBitsAreRefusedOrHarmless) {
  const std::string file =
      file_with(R"({"__metadata__":{"k":"v"},"a":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},)"
                R"("b":{"dtype":"I8","shape":[2,1],"data_offsets":[6,8]}})",
                8);
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_THROW(parse_safetensors_header(bytes_of(file.substr(0, size))), Error) << size;
  }
  for (std::size_t bit = 0; bit < (file.size() - 8) * 8; ++bit) {
    std::string flipped = file;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    try {
      const SafetensorsHeader header = parse_safetensors_header(bytes_of(flipped));
      std::uint64_t sum = 0;
      for (const SafetensorsEntry& tensor : header.tensors) sum += tensor.end - tensor.begin;
      EXPECT_EQ(sum, flipped.size() - header.data_begin) << bit;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    }
  }
}

TEST(SafetensorsFile, ErrorsNameTheFileAndTheTensor) {
  const TemporaryDirectory directory;
  write_file(directory / "bad.safetensors", "nonsense and more of it");
  expect_error(ErrorKind::bad_input, "bad.safetensors",
               [&] { SafetensorsFile::open(directory / "bad.safetensors"); });
  expect_error(ErrorKind::bad_input, "absent.safetensors",
               [&] { SafetensorsFile::open(directory / "absent.safetensors"); });
  write_file(directory / "empty.safetensors", file_with("{}"));
  const auto file = SafetensorsFile::open(directory / "empty.safetensors");
  EXPECT_FALSE(file.contains("wte"));
  expect_error(ErrorKind::bad_input, "empty.safetensors: holds no tensor wte",
               [&] { file.tensor("wte"); });
}

TEST(SafetensorsFile, UnalignedTensorsAreReadByCopy) {
  const TemporaryDirectory directory;
  const std::vector<float> values{1.5F, -2.0F};
  std::string file = file_with(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                               R"("b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})",
                               1);
  file.append(reinterpret_cast<const char*>(values.data()), 8);
  write_file(directory / "x.safetensors", file);
  const Tensor tensor = SafetensorsFile::open(directory / "x.safetensors").tensor("b");
  EXPECT_THAT(tensor.to_floats(), ElementsAre(1.5F, -2.0F));
  EXPECT_THAT(tensor.to_values<float>(), ElementsAre(1.5F, -2.0F));
}

TEST(SafetensorsFile, TensorsOutliveTheFileObjectAndDroppedPages) {
  const TemporaryDirectory directory;
  Random random(3);
  const Tensor tensor = random_tensor(DType::i32, {300, 100}, random);
  SafetensorsWriter writer(directory / "x.safetensors");
  writer.add("x", tensor);
  writer.commit();
  Tensor read;
  {
    const auto file = SafetensorsFile::open(directory / "x.safetensors");
    read = file.tensor("x");
    expect_same(read, tensor);
    file.drop_pages("x");
  }
  expect_same(read, tensor);
}

TEST(SafetensorsWriter, EveryTypeComesBackWithTheSameBytesAligned) {
  const TemporaryDirectory directory;
  Random random(1);
  std::vector<NamedTensor> tensors;
  for (const DType dtype : kAllTypes) {
    for (const Shape& shape : {Shape{3, 5}, Shape{7}, Shape{}, Shape{0, 4}}) {
      tensors.push_back({fmt::format("t{}", tensors.size()), random_tensor(dtype, shape, random)});
    }
  }
  SafetensorsWriter writer(directory / "x.safetensors", {{"format", "pt"}, {"q\"\n", "\\"}});
  for (const NamedTensor& tensor : tensors) writer.add(tensor.name, tensor.tensor);
  writer.commit();

  const auto file = SafetensorsFile::open(directory / "x.safetensors");
  EXPECT_EQ(file.metadata(), (SafetensorsMetadata{{"format", "pt"}, {"q\"\n", "\\"}}));
  ASSERT_EQ(file.entries().size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(file.names()[i], tensors[i].name);  // the order of add
    const Tensor read = file.tensor(tensors[i].name);
    expect_same(read, tensors[i].tensor);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(read.bytes().data()) % dtype_size(read.dtype()), 0U);
  }
}

// What is made when it is written is not kept, and is what was said.
TEST(SafetensorsWriter, MakesTensorsOneAfterTheOther) {
  const TemporaryDirectory directory;
  Random random(4);
  const Tensor tensor = random_tensor(DType::f32, {3, 4}, random);
  std::vector<std::string> calls;
  const auto add = [&](SafetensorsWriter& writer, const std::string& name, const Shape& shape) {
    writer.add(
        name, DType::f32, shape,
        [&calls, &tensor, name] {
          calls.push_back("make " + name);
          return tensor;
        },
        [&calls, name] { calls.push_back("wrote " + name); });
  };
  SafetensorsWriter writer(directory / "x");
  add(writer, "a", {3, 4});
  add(writer, "b", {3, 4});
  EXPECT_EQ(writer.data_bytes(), 96U);
  EXPECT_THAT(calls, testing::IsEmpty());
  writer.commit();
  EXPECT_THAT(calls, ElementsAre("make a", "wrote a", "make b", "wrote b"));
  expect_same(SafetensorsFile::open(directory / "x").tensor("b"), tensor);
  SafetensorsWriter other(directory / "y");
  add(other, "c", {4, 3});
  expect_error(ErrorKind::failed, "tensor c came out as F32 [3, 4], not F32 [4, 3]",
               [&] { other.commit(); });
  EXPECT_FALSE(std::filesystem::exists(directory / "y"));
}

TEST(SafetensorsWriter, SameInputGivesTheSameBytesAndOneFile) {
  const TemporaryDirectory directory;
  for (const char* name : {"a", "b"}) {
    Random random(2);
    SafetensorsWriter writer(directory / name);
    writer.add("w", random_tensor(DType::bf16, {9}, random));
    writer.add("v", random_tensor(DType::i64, {2}, random));
    EXPECT_EQ(writer.data_bytes(), 34U);
    EXPECT_FALSE(std::filesystem::exists(directory / name));
    writer.commit();
  }
  EXPECT_EQ(read_file(directory / "a"), read_file(directory / "b"));
  const auto files = std::filesystem::directory_iterator(directory.path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 2);
}

TEST(SafetensorsWriter, HeaderEndsOnEightBytes) {
  const TemporaryDirectory directory;
  for (std::size_t length = 1; length <= 16; ++length) {
    SafetensorsWriter writer(directory / "x");
    writer.add(std::string(length, 'n'), Tensor::from_bytes(DType::u8, {1}, {std::byte{7}}));
    writer.commit();
    const std::string file = read_file(directory / "x");
    EXPECT_EQ((file.size() - 1) % 8, 0U);
    EXPECT_EQ(file.back(), '\x07');
  }
}

TEST(SafetensorsWriter, AnUnfinishedFileLeavesNothing) {
  const TemporaryDirectory directory;
  {
    SafetensorsWriter writer(directory / "x");
    writer.add("t", Tensor::from_bytes(DType::u8, {1}, {std::byte{7}}));
    expect_error(ErrorKind::failed, "tensor t cannot be written: its name is taken",
                 [&] { writer.add("t", Tensor::from_bytes(DType::u8, {1}, {std::byte{7}})); });
    EXPECT_THROW(writer.add("__metadata__", Tensor::from_bytes(DType::u8, {0}, {})), Error);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

}  // namespace
}  // namespace terse
