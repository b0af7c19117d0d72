#include "terse/core/digest.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "support/temporary_directory.h"
#include "terse/core/file.h"

namespace terse {
namespace {

std::string digest_of(std::string_view text) {
  Digest digest;
  digest.add(text);
  return digest.text();
}

std::string some_text(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>(i * i * 7 % 250 + 1);
  return text;
}

TEST(Digest, DoesNotDependOnHowBytesAreCut) {
  const std::string text = some_text(200);
  const std::string whole = digest_of(text);
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (const std::size_t second : {0U, 1U, 31U, 32U, 33U, 64U}) {
      Digest digest;
      const std::string_view rest = std::string_view(text).substr(first);
      digest.add(std::string_view(text).substr(0, first));
      digest.add(rest.substr(0, second));
      if (second < rest.size()) digest.add(rest.substr(second));
      EXPECT_EQ(digest.text(), whole) << first << " " << second;
    }
  }
}

TEST(Digest, ChangesWithEveryByteAndEveryLength) {
  std::set<std::string> seen;
  for (std::size_t size = 0; size <= 100; ++size) {
    EXPECT_TRUE(seen.insert(digest_of(some_text(size))).second) << size;
    EXPECT_TRUE(seen.insert(digest_of(std::string(size + 1, '\0'))).second) << size;
  }
  for (std::size_t at = 0; at < 100; ++at) {
    for (const char flip : {1, 16}) {
      std::string text = some_text(100);
      text[at] = static_cast<char>(text[at] ^ flip);
      EXPECT_TRUE(seen.insert(digest_of(text)).second) << at;
    }
  }
}

TEST(Digest, OfAFileIsThatOfItsBytesAndWhatTheWriterSays) {
  const test::TemporaryDirectory directory;
  for (const std::size_t size : {0U, 1U, 4096U, 100'001U}) {
    const std::string text = some_text(size);
    FileWriter writer(directory / "file");
    writer.write(std::string_view(text).substr(0, size / 3));
    writer.write(std::string_view(text).substr(size / 3));
    const std::string digest = writer.commit();
    EXPECT_EQ(digest, digest_of(text));
    EXPECT_EQ(digest, file_digest(directory / "file"));
  }
}

}  // namespace
}  // namespace terse
