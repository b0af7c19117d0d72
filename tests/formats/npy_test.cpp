#include "terse/formats/npy.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "support/expect_error.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"

namespace terse {
namespace {

using test::expect_error;
using test::TemporaryDirectory;
using testing::ElementsAre;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string little(std::size_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

std::string npy(const std::string& header, const std::string& data, char version = 1) {
  return "\x93NUMPY" + std::string{version, '\0'} + little(header.size(), version == 1 ? 2 : 4) +
         header + data;
}

std::string header(const std::string& descr, const std::string& shape) {
  return fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}   \n", descr, shape);
}

template <class T>
std::string raw(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

void expect_refused(const std::string& file, const std::string& says) {
  expect_error(ErrorKind::bad_input, says, [&] { parse_npy(bytes_of(file)); });
}

TEST(Npy, ReadsEveryIntegerType) {
  const auto ids = [](const std::string& descr, const std::string& data) {
    const std::string file = npy(header(descr, "(3,)"), data);
    const TokenArray tokens = parse_npy(bytes_of(file));
    EXPECT_EQ(tokens.shape, Shape{3});
    return tokens.ids;
  };
  EXPECT_THAT(ids("|u1", raw<std::uint8_t>({1, 2, 255})), ElementsAre(1, 2, 255));
  EXPECT_THAT(ids("|i1", raw<std::int8_t>({1, 2, 127})), ElementsAre(1, 2, 127));
  EXPECT_THAT(ids("<u2", raw<std::uint16_t>({1, 2, 65535})), ElementsAre(1, 2, 65535));
  EXPECT_THAT(ids("<i2", raw<std::int16_t>({1, 2, 32767})), ElementsAre(1, 2, 32767));
  EXPECT_THAT(ids("<u4", raw<std::uint32_t>({1, 2, 2147483647})), ElementsAre(1, 2, 2147483647));
  EXPECT_THAT(ids("<i4", raw<std::int32_t>({1, 2, 70000})), ElementsAre(1, 2, 70000));
  EXPECT_THAT(ids("<u8", raw<std::uint64_t>({1, 2, 3})), ElementsAre(1, 2, 3));
  EXPECT_THAT(ids("<i8", raw<std::int64_t>({1, 2, 3})), ElementsAre(1, 2, 3));
}

TEST(Npy, ReadsTwoDimensionsAndEveryVersion) {
  for (const char version : {'\1', '\2', '\3'}) {
    const std::string file =
        npy(header("<i4", "(2, 3)"), raw<std::int32_t>({1, 2, 3, 4, 5, 6}), version);
    const TokenArray tokens = parse_npy(bytes_of(file));
    EXPECT_EQ(tokens.shape, (Shape{2, 3}));
    EXPECT_THAT(tokens.ids, ElementsAre(1, 2, 3, 4, 5, 6));
  }
  EXPECT_EQ(parse_npy(bytes_of(npy(header("<i4", "(0,)"), ""))).shape, Shape{0});
  const std::string other_order = "{\"shape\":(1,),\"fortran_order\":True,\"descr\":\"|u1\"}";
  EXPECT_THAT(parse_npy(bytes_of(npy(other_order, "\x05"))).ids, ElementsAre(5));
}

TEST(Npy, ReadsWhatNumPyWrote) {
  const auto path =
      std::filesystem::path(TERSE_SOURCE_DIR) / "tests/oracle/docs-llama/test_ids.npy";
  const TokenArray tokens = read_token_ids(path);
  // As numpy.load says.
  EXPECT_EQ(tokens.shape, Shape{40960});
  EXPECT_THAT(std::vector(tokens.ids.begin(), tokens.ids.begin() + 6),
              ElementsAre(0, 11, 635, 81, 852, 70));
  EXPECT_EQ(std::accumulate(tokens.ids.begin(), tokens.ids.end(), std::int64_t{0}), 34734053);
}

TEST(Npy, RefusesDamagedFiles) {
  const std::string good = npy(header("<i4", "(2,)"), raw<std::int32_t>({1, 2}));
  EXPECT_NO_THROW(parse_npy(bytes_of(good)));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_THROW(parse_npy(bytes_of(good.substr(0, size))), Error) << size;
  }
  expect_refused(good + "x", "does not fit the 9 bytes");
  expect_refused("", "not a .npy file");
  expect_refused("PK\x03\x04 and more", "not a .npy file");
  expect_refused(npy(header("<i4", "(2,)"), raw<std::int32_t>({1, 2}), 4), "version 4");
  expect_refused(npy(std::string(10'001, ' '), ""), "the limit of 10000");
  std::string lying = npy(header("<i4", "(2,)"), "", 2);
  lying.replace(8, 4, "\xff\xff\xff\x7f");
  expect_refused(lying, "the header has 2147483647 bytes");
}

TEST(Npy, RefusesHeadersThatAreNone) {
  for (const char* text :
       {"", "{", "{}", "[]", "{'descr': '<i4'}", "{'descr': '<i4', 'fortran_order': False, }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2,)} x",
        "{'descr': '<i4', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<i4', 'fortran_order': False, 'shape': 2}",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2,}",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (2,)}"}) {
    expect_refused(npy(text, raw<std::int32_t>({1, 2})), "the header is not a dictionary");
  }
  expect_refused(npy("{'kind': 1}", ""), "unknown key 'kind'");
}

TEST(Npy, RefusesTypesAndShapesThatAreNoIds) {
  const std::string data = raw<std::int32_t>({1, 2});
  expect_refused(npy(header("<f4", "(2,)"), data), "dtype '<f4' is not supported");
  expect_refused(npy(header(">i4", "(2,)"), data), "dtype '>i4' is not supported");
  expect_refused(npy(header("<i4", "()"), data.substr(4)), "expected one or two dimensions");
  expect_refused(npy(header("<i4", "(1,1,2)"), data), "expected one or two dimensions");
  expect_refused(npy(header("<i4", "(3,)"), data), "shape [3] of '<i4' does not fit the 8 bytes");
  expect_refused(npy(header("<i4", "(4611686018427387904, 4)"), data), "no valid number");
  expect_refused(npy(header("<i8", "(2305843009213693953,)"), data), "does not fit");
  expect_refused(npy(header("<i4", "(2,)"), raw<std::int32_t>({1, -2})), "element 1 is -2");
  expect_refused(npy(header("|i1", "(1,)"), "\xff"), "element 0 is -1");
  expect_refused(npy(header("<u4", "(1,)"), "\xff\xff\xff\xff"), "element 0 is 4294967295");
  expect_refused(npy("{'descr': '<i4', 'fortran_order': True, 'shape': (1, 2)}", data),
                 "Fortran order");
}

TEST(TokenJson, ReadsOneAndTwoDimensions) {
  const TokenArray row = parse_token_json(parse_json("[1, 2, 2147483647]"));
  EXPECT_EQ(row.shape, Shape{3});
  EXPECT_THAT(row.ids, ElementsAre(1, 2, 2147483647));
  const TokenArray rows = parse_token_json(parse_json("[[1, 2], [3, 4], [5, 6]]"));
  EXPECT_EQ(rows.shape, (Shape{3, 2}));
  EXPECT_THAT(rows.ids, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(parse_token_json(parse_json("[]")).shape, Shape{0});
  EXPECT_EQ(parse_token_json(parse_json("[[], []]")).shape, (Shape{2, 0}));
}

TEST(TokenJson, RefusesWhatIsNoIds) {
  const auto refused = [](const char* text, const std::string& says) {
    expect_error(ErrorKind::bad_input, says, [&] { parse_token_json(parse_json(text)); });
  };
  refused("{}", "expected an array of ids, found object");
  refused("[1, \"2\"]", "element 1: expected a token id, found string");
  refused("[1, 2.0]", "element 1: expected a token id, found number");
  refused("[1, -2]", "element 1 is -2: not a token id");
  refused("[2147483648]", "element 0 is 2147483648: not a token id");
  refused("[18446744073709551615]", "not a token id");
  refused("[[1, 2], [3]]", "all of one length");
  refused("[[1, 2], 3]", "all of one length");
  refused("[1, [2]]", "element 1: expected a token id, found array");
  refused("[[[1]]]", "all of one length");
}

TEST(TokenIds, AreReadByExtensionAndErrorsNameTheFile) {
  const TemporaryDirectory directory;
  write_file(directory / "ids.json", "[[1, 2]]");
  EXPECT_EQ(read_token_ids(directory / "ids.json").shape, (Shape{1, 2}));
  write_file(directory / "bad.json", "[1");
  write_file(directory / "bad.npy", "[1");
  write_file(directory / "ids.txt", "1 2");
  const auto refused = [&](const std::string& name, const std::string& says) {
    expect_error(ErrorKind::bad_input, name + ": " + says,
                 [&] { read_token_ids(directory / name); });
  };
  refused("bad.json", "not valid JSON");
  refused("bad.npy", "not a .npy file");
  refused("ids.txt", "expected a file of token ids that ends in .npy or .json");
  refused("absent.npy", "");
}

}  // namespace
}  // namespace terse
