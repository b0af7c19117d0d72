#include "terse/core/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>

#include "support/expect_error.h"
#include "support/temporary_directory.h"

namespace terse {
namespace {

using test::expect_error;
using test::TemporaryDirectory;

TEST(MappedFile, GivesTheBytesOfAFile) {
  const TemporaryDirectory directory;
  const std::string text("a\0b\n", 4);
  write_file(directory / "x", text);
  const auto file = MappedFile::open(directory / "x");
  EXPECT_TRUE(std::ranges::equal(file->bytes(), std::as_bytes(std::span(text))));
  EXPECT_EQ(file->path(), directory / "x");
  EXPECT_EQ(read_file(directory / "x"), text);
  write_file(directory / "empty", "");
  EXPECT_TRUE(MappedFile::open(directory / "empty")->bytes().empty());
}

TEST(MappedFile, ErrorsNameThePath) {
  const TemporaryDirectory directory;
  expect_error(ErrorKind::bad_input, "absent: No such file or directory",
               [&] { MappedFile::open(directory / "absent"); });
  expect_error(ErrorKind::bad_input, "not a regular file",
               [&] { MappedFile::open(directory.path()); });
  expect_error(ErrorKind::bad_input, "not a regular file", [&] { read_file("/dev/null"); });
}

TEST(MappedFile, DroppedPagesAreReadAgain) {
  const TemporaryDirectory directory;
  std::string text(100'000, 'x');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7);
  write_file(directory / "x", text);
  const auto file = MappedFile::open(directory / "x");
  file->drop_pages(file->bytes().subspan(1000, 70'000));
  file->drop_pages(file->bytes().subspan(5, 10));  // not one whole page
  file->drop_pages(file->bytes().subspan(0, 0));
  EXPECT_TRUE(std::ranges::equal(file->bytes(), std::as_bytes(std::span(text))));
}

TEST(FileWriter, TheFileAppearsWhenItIsComplete) {
  const TemporaryDirectory directory;
  {
    FileWriter writer(directory / "x");
    writer.write("hello ");
    EXPECT_FALSE(std::filesystem::exists(directory / "x"));
    writer.write("world");
    writer.commit();
  }
  EXPECT_EQ(read_file(directory / "x"), "hello world");
  EXPECT_FALSE(std::filesystem::exists(directory / "x.part"));
}

TEST(FileWriter, WithoutCommitTheOldFileStays) {
  const TemporaryDirectory directory;
  write_file(directory / "x", "old");
  { FileWriter(directory / "x").write("new"); }
  EXPECT_EQ(read_file(directory / "x"), "old");
  EXPECT_FALSE(std::filesystem::exists(directory / "x.part"));
  write_file(directory / "x", "new");
  EXPECT_EQ(read_file(directory / "x"), "new");
}

TEST(FileWriter, ErrorsNameThePathAndLeaveNothing) {
  const TemporaryDirectory directory;
  expect_error(ErrorKind::failed, "absent/x.part: cannot create: No such file",
               [&] { FileWriter(directory / "absent/x"); });
  std::filesystem::create_directory(directory / "folder");
  expect_error(ErrorKind::failed, "folder: cannot write",
               [&] { write_file(directory / "folder", "x"); });
  EXPECT_FALSE(std::filesystem::exists(directory / "folder.part"));
  expect_error(ErrorKind::failed, "absent: cannot make the directory durable",
               [&] { sync_directory(directory / "absent"); });
}

TEST(FileWriter, AFailedWriteKeepsTheOldFile) {
  const TemporaryDirectory directory;
  write_file(directory / "x", "old");
  // A limit on the size of files stands for a full disk.
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit limit{1000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  expect_error(ErrorKind::failed, "x: cannot write: File too large",
               [&] { write_file(directory / "x", std::string(5000, 'n')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(directory / "x"), "old");
  EXPECT_FALSE(std::filesystem::exists(directory / "x.part"));
}

}  // namespace
}  // namespace terse
