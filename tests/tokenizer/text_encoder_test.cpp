// Texts from files, and the tokens that a model begins them with.
#include "terse/tokenizer/text_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/core/json.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using testing::ElementsAre;

class TextEncoderTest : public testing::Test {
 protected:
  // Words are single letters: a is 1, b is 2; <s> is 3.
  void write_tokenizer(const Json& post_processor = nullptr) const {
    const Json begin = {{"id", 3},         {"content", "<s>"}, {"single_word", false},
                        {"lstrip", false}, {"rstrip", false},  {"normalized", false},
                        {"special", true}};
    const Json model = {{"type", "BPE"},
                        {"unk_token", "?"},
                        {"vocab", {{"?", 0}, {"a", 1}, {"b", 2}, {"<s>", 3}}},
                        {"merges", Json::array()}};
    write_file(directory_ / "tokenizer.json",
               Json{{"added_tokens", {begin}}, {"post_processor", post_processor}, {"model", model}}
                   .dump());
  }

  TextEncoder with_config(const Json& config) const {
    write_tokenizer();
    write_file(directory_ / "tokenizer_config.json", config.dump());
    return TextEncoder::load(directory_.path());
  }

  void refuses_config(const Json& config, const std::string& part) const {
    expect_error(ErrorKind::bad_input, part, [&] { with_config(config); });
    expect_error(ErrorKind::bad_input, "tokenizer_config.json", [&] { with_config(config); });
  }

  test::TemporaryDirectory directory_;
};

TEST_F(TextEncoderTest, WithoutAConfigNothingIsAdded) {
  write_tokenizer();
  const TextEncoder encoder = TextEncoder::load(directory_.path());
  EXPECT_THAT(encoder.encode("ab"), ElementsAre(1, 2));
  EXPECT_THAT(encoder.encode(""), ElementsAre());
}

TEST_F(TextEncoderTest, TheConfigAsksForTheBeginToken) {
  const TextEncoder encoder = with_config({{"bos_token", "<s>"}, {"add_bos_token", true}});
  EXPECT_THAT(encoder.encode("ab"), ElementsAre(3, 1, 2));
  EXPECT_THAT(encoder.encode(""), ElementsAre(3));
  EXPECT_THAT(encoder.encode("<s>ab"), ElementsAre(3, 1, 2)) << "the text has its own";
}

TEST_F(TextEncoderTest, TheBeginTokenMayBeAnObject) {
  const TextEncoder encoder = with_config(
      {{"bos_token", {{"content", "<s>"}, {"lstrip", false}}}, {"add_bos_token", true}});
  EXPECT_THAT(encoder.encode("b"), ElementsAre(3, 2));
}

TEST_F(TextEncoderTest, ABeginTokenIsAddedOnlyWhenAskedForAndKnown) {
  EXPECT_THAT(with_config({{"bos_token", "<s>"}}).encode("a"), ElementsAre(1));
  EXPECT_THAT(with_config({{"bos_token", "<s>"}, {"add_bos_token", false}}).encode("a"),
              ElementsAre(1));
  EXPECT_THAT(with_config({{"bos_token", "<t>"}, {"add_bos_token", true}}).encode("a"),
              ElementsAre(1));
  EXPECT_THAT(with_config({{"bos_token", nullptr}, {"add_bos_token", true}}).encode("a"),
              ElementsAre(1));
}

TEST_F(TextEncoderTest, ATemplateThatAddsItIsNotDoubled) {
  const Json special = {{"id", "<s>"}, {"ids", {3}}, {"tokens", {"<s>"}}};
  const Json pieces = {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                       {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}};
  write_tokenizer({{"type", "TemplateProcessing"},
                   {"single", pieces},
                   {"pair", Json::array()},
                   {"special_tokens", {{"<s>", special}}}});
  write_file(directory_ / "tokenizer_config.json",
             Json{{"bos_token", "<s>"}, {"add_bos_token", true}}.dump());
  EXPECT_THAT(TextEncoder::load(directory_.path()).encode("ab"), ElementsAre(3, 1, 2));
}

TEST_F(TextEncoderTest, ErrorsNameTheFileAndTheKey) {
  expect_error(ErrorKind::bad_input, "tokenizer.json",
               [&] { TextEncoder::load(directory_.path()); });
  refuses_config({{"bos_token", 3}}, "'bos_token'");
  refuses_config({{"bos_token", {{"text", "<s>"}}}}, "'content'");
  refuses_config({{"bos_token", "<s>"}, {"add_bos_token", "yes"}}, "'add_bos_token'");
  refuses_config(Json::array(), "object");
}

TEST_F(TextEncoderTest, TextsAreEncodedOneByOne) {
  const TextEncoder encoder = with_config({{"bos_token", "<s>"}, {"add_bos_token", true}});
  EXPECT_THAT(encode_texts(encoder, {"ab", "", "b"}), ElementsAre(3, 1, 2, 3, 3, 2));
}

class ReadTexts : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((directory_ / name).parent_path());
    write_file(directory_ / name, text);
  }

  std::vector<std::string> read(const std::vector<std::string>& names,
                                const std::string& key = "text") const {
    std::vector<fs::path> paths;
    for (const std::string& name : names) paths.push_back(directory_ / name);
    return read_texts(paths, key);
  }

  void refuses(const std::string& name, const std::string& part) const {
    expect_error(ErrorKind::bad_input, name, [&] { read({name}); });
    expect_error(ErrorKind::bad_input, part, [&] { read({name}); });
  }

  test::TemporaryDirectory directory_;
};

TEST_F(ReadTexts, AFileIsOneTextWhateverItsName) {
  write("a.cc", "one\ntwo\n");
  write("b", "");
  EXPECT_THAT(read({"a.cc", "b", "a.cc"}), ElementsAre("one\ntwo\n", "", "one\ntwo\n"));
}

TEST_F(ReadTexts, ADirectoryGivesItsTextsInOrderOfTheirNames) {
  write("d/z.txt", "5");
  write("d/b/y.md", "3");
  write("d/b/x.raw", "2");
  write("d/a.jsonl", "{\"text\": \"0\"}\n{\"text\": \"1\"}\n");
  write("d/b/z.txt", "4");
  write("d/b/code.py", "not read");
  EXPECT_THAT(read({"d"}), ElementsAre("0", "1", "2", "3", "4", "5"));
}

TEST_F(ReadTexts, LinesAreObjectsThatHoldTexts) {
  write("a.jsonl", "{\"text\": \"a\\nb\", \"n\": 1}\n\n \t\r\n{\"text\": \"\", \"body\": 2}");
  EXPECT_THAT(read({"a.jsonl"}), ElementsAre("a\nb", ""));
  write("b.jsonl", "{\"body\": \"x\"}\r\n");
  EXPECT_THAT(read({"b.jsonl"}, "body"), ElementsAre("x"));
}

TEST_F(ReadTexts, ErrorsNameTheFileTheLineAndTheKey) {
  refuses("absent.txt", "No such file");
  write("d/code.py", "");
  refuses("d", "holds no .txt");
  write("a.jsonl", "{\"text\": \"a\"}\n\n{\"body\": \"b\"}\n");
  refuses("a.jsonl", "line 3: key 'text' is missing");
  write("b.jsonl", "{\"text\": 3}");
  refuses("b.jsonl", "line 1: key 'text': expected a string");
  write("c.jsonl", "plain words\n");
  refuses("c.jsonl", "line 1: not valid JSON");
  write("e.jsonl", "[\"a\"]\n");
  refuses("e.jsonl", "line 1: expected an object");
}

}  // namespace
}  // namespace terse
