// Files that are wrong or mean harm: each gives one line that names what is wrong.
#include <gtest/gtest.h>

#include <unistd.h>

#include <thread>

#include "terse/core/error.h"
#include "terse/core/file.h"

#include "tokenizer/support.h"

namespace terse::test {
namespace {

std::string error_of(const Json& json) {
  try {
    Tokenizer::parse(json);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input) << error.what();
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
    return error.what();
  }
  return "";
}

const Json kModel{{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}};

std::string error_of_part(const char* key, const Json& part) {
  Json json{{"model", kModel}};
  json[key] = part;
  return error_of(json);
}

std::string error_of_model(const Json& changes) {
  Json model = kModel;
  model.update(changes);
  return error_of({{"model", model}});
}

TEST(HostileTokenizer, UnknownKindsAreNamed) {
  EXPECT_EQ(error_of_part("normalizer", {{"type", "BertNormalizer"}}),
            "normalizer: BertNormalizer: normalizer of type 'BertNormalizer' is not supported");
  EXPECT_EQ(
      error_of_part("pre_tokenizer",
                    {{"type", "Sequence"}, {"pretokenizers", {{{"type", "UnicodeScripts"}}}}}),
      "pre_tokenizer: Sequence: UnicodeScripts: pre-tokenizer of type 'UnicodeScripts' is not "
      "supported");
  EXPECT_EQ(error_of_part("post_processor", {{"type", "BertProcessing"}}),
            "post_processor: post-processor of type 'BertProcessing' is not supported");
  EXPECT_EQ(error_of_part("decoder", {{"type", "CTC"}}),
            "decoder: CTC: decoder of type 'CTC' is not supported");
  EXPECT_EQ(error_of_model({{"type", "WordPiece"}}),
            "model: WordPiece: model of type 'WordPiece' is not supported");
  EXPECT_EQ(error_of({{"model", kModel}, {"version", "2.0"}}),
            "key 'version': expected 1.0, found '2.0'");
}

TEST(HostileTokenizer, MissingKeysAndWrongTypesAreNamed) {
  EXPECT_EQ(error_of(Json::object()), "model: expected an object with the key 'type', found null");
  EXPECT_NE(error_of(Json::array()), "");
  EXPECT_EQ(error_of({{"model", 5}}), "model: expected an object, found number");
  EXPECT_EQ(error_of({{"model", {{"type", "BPE"}}}}),
            "model: BPE: key 'vocab' is missing; expected an object");
  EXPECT_EQ(error_of_model({{"vocab", Json::array()}}),
            "model: BPE: key 'vocab': expected an object, found array");
  EXPECT_EQ(error_of_model({{"merges", 1}}),
            "model: BPE: key 'merges': expected an array, found number");
  EXPECT_EQ(error_of_model({{"fuse_unk", "yes"}}),
            "model: BPE: key 'fuse_unk': expected true or false, found string");
  EXPECT_EQ(error_of_part("pre_tokenizer", {{"type", "Split"}}),
            "pre_tokenizer: Split: key 'pattern' is missing; expected an object");
  EXPECT_EQ(error_of_part("pre_tokenizer", {{"type", "Digits"}}),
            "pre_tokenizer: Digits: key 'individual_digits' is missing; expected true or false");
  EXPECT_EQ(error_of_part("pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {1}}}),
            "pre_tokenizer: Sequence: key 'pretokenizers': expected objects, found number");
  EXPECT_EQ(error_of_part("pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "ab"}}),
            "pre_tokenizer: Metaspace: key 'replacement': expected one character, found 'ab'");
  EXPECT_EQ(error_of_part("decoder", {{"type", "Strip"}, {"content", "a"}, {"start", -1}}),
            "decoder: Strip: key 'start': expected an integer from 0 to 1048576, found -1");
  EXPECT_NE(error_of_part("normalizer",
                          {{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", ""}}),
            "");
  EXPECT_NE(error_of_part("added_tokens", {{"id", 1}}), "");
  EXPECT_NE(error_of_part("added_tokens", {1}), "");
  EXPECT_EQ(error_of_part("added_tokens", {{{"content", "<a>"}}}),
            "added_tokens: token '<a>': key 'id' is missing");
}

TEST(HostileTokenizer, Vocabularies) {
  EXPECT_EQ(error_of_model({{"vocab", Json::object()}}), "model: BPE: key 'vocab' is empty");
  EXPECT_EQ(error_of_model({{"vocab", {{"a", 0}, {"b", 0}}}}),
            "model: BPE: id 0 belongs to two tokens, 'a' and 'b'");
  EXPECT_EQ(error_of_model({{"vocab", {{"a", -1}}}}),
            "model: BPE: key 'vocab': token 'a': expected an id from 0 to 2147483646, found -1");
  EXPECT_EQ(error_of_model({{"vocab", {{"a", 1e30}}}}),
            "model: BPE: key 'vocab': token 'a': expected an id from 0 to 2147483646, found 1e+30");
  EXPECT_EQ(error_of_model({{"vocab", {{"a", 4294967296ULL}}}}),
            "model: BPE: key 'vocab': token 'a': expected an id from 0 to 2147483646, found "
            "4294967296");
  EXPECT_NE(error_of({{"model", {{"type", "Unigram"}, {"vocab", Json::array()}}}}), "");
  EXPECT_NE(error_of({{"model", {{"type", "Unigram"}, {"vocab", {{"a", 0}}}, {"unk_id", 1}}}}), "");
  EXPECT_NE(error_of({{"model", {{"type", "Unigram"}, {"vocab", {{"a", 0}}}, {"unk_id", -1}}}}),
            "");
  EXPECT_NE(error_of({{"model", {{"type", "Unigram"}, {"vocab", {{"a"}}}}}}), "");
}

TEST(HostileTokenizer, EnormousIdsCostNothing) {
  const auto tokenizer = Tokenizer::parse(bpe_json({{"a", 2147483646}}, Json::array()));
  EXPECT_EQ(tokenizer.encode("a"), Ids{2147483646});
  EXPECT_EQ(tokenizer.vocab_size(), 1);
}

TEST(HostileTokenizer, Merges) {
  EXPECT_EQ(error_of_model({{"merges", {"a c"}}}),
            "model: BPE: key 'merges': token 'c' is not in the vocabulary");
  EXPECT_EQ(error_of_model({{"merges", {"b a"}}}),
            "model: BPE: key 'merges': merged token 'ba' is not in the vocabulary");
  for (const Json& merge : {Json("ab"), Json("a  b"), Json({"a"}), Json({"a", 1}), Json(7)}) {
    EXPECT_EQ(error_of_model({{"merges", Json::array({merge})}}),
              "model: BPE: key 'merges': entry 0 is neither \"a b\" nor [\"a\", \"b\"]");
  }
  EXPECT_NE(error_of_model({{"continuing_subword_prefix", "###"}}), "");
  EXPECT_NE(error_of_model({{"merges", {std::string(5000, ' ')}}}), "");
}

TEST(HostileTokenizer, RandomnessIsRefused) {
  EXPECT_EQ(error_of_model({{"dropout", 0.1}}),
            "model: BPE: key 'dropout': 0.1 would make the ids random; set it to null");
  EXPECT_EQ(error_of_model({{"dropout", 0.0}}), "");
}

TEST(HostileTokenizer, DeepSequences) {
  Json part{{"type", "Lowercase"}};
  for (int i = 0; i < 25; ++i) part = {{"type", "Sequence"}, {"normalizers", {part}}};
  EXPECT_EQ(error_of_part("normalizer", part), "");
  // What is deeper than any file of use is refused while it is read.
  std::string text = R"({"model":)";
  for (int i = 0; i < 100; ++i) text += R"({"a":)";
  EXPECT_THROW(Tokenizer::parse(parse_json(text)), Error);
}

TEST(HostileTokenizer, LoadNamesTheFile) {
  const auto file = std::filesystem::temp_directory_path() /
                    ("terse_tokenizer_test_" + std::to_string(::getpid()) + ".json");
  write_file(file, R"({"model": {"type": "BPE"}})");
  try {
    Tokenizer::load(file);
    ADD_FAILURE() << "was loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(),
              file.string() + ": model: BPE: key 'vocab' is missing; expected an object");
  }
  std::filesystem::remove(file);
  EXPECT_THROW(Tokenizer::load(file), Error);
}

TEST(Tokenizer, UnknownIds) {
  const auto tokenizer = Tokenizer::parse({{"model", kModel}, {"decoder", {{"type", "Fuse"}}}});
  EXPECT_EQ(tokenizer.decode(Ids{0, 77, -1, 1}), "ab");
  EXPECT_THROW(tokenizer.token(77), Error);
  EXPECT_EQ(tokenizer.token(2), "ab");
  EXPECT_FALSE(tokenizer.is_special(77));
}

TEST(Tokenizer, MissingUnknownTokenIsAnErrorOnlyWhenNeeded) {
  Json model = kModel;
  model["unk_token"] = "<unk>";
  const auto tokenizer = Tokenizer::parse({{"model", model}});
  EXPECT_EQ(tokenizer.encode("ab"), Ids{2});
  EXPECT_THROW(tokenizer.encode("x"), Error);
}

TEST(Tokenizer, MalformedTextCountsAsReplacementCharacters) {
  const auto tokenizer = Tokenizer::parse(bpe_json(vocab_of({"a", "\ufffd"}), Json::array()));
  EXPECT_EQ(tokenizer.encode("a\xff\xe2\x82"), (Ids{0, 1, 1}));
}

// Settings for batches of training data, which transformers sets anew for every call.
TEST(Tokenizer, TruncationAndPaddingAreNotApplied) {
  const auto tokenizer = Tokenizer::parse(
      {{"model", kModel}, {"truncation", {{"max_length", 1}}}, {"padding", {{"length", 9}}}});
  EXPECT_EQ(tokenizer.encode("aab"), (Ids{0, 2}));
}

TEST(Tokenizer, ManyThreadsMayUseOne) {
  const auto file =
      std::filesystem::path(TERSE_SOURCE_DIR) / "models" / "docs-llama" / "tokenizer.json";
  const auto tokenizer = Tokenizer::load(file);
  std::vector<std::string> texts;
  std::vector<Ids> expected;
  for (int i = 0; i < 50; ++i) {
    texts.push_back("word" + std::to_string(i) + " weights are quantised " + std::string(i, 'x'));
    expected.push_back(Tokenizer::load(file).encode(texts.back()));
  }
  std::vector<std::thread> threads;
  std::vector<int> failures(4, 0);
  for (std::size_t t = 0; t < failures.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 20; ++round) {
        for (std::size_t i = 0; i < texts.size(); ++i) {
          failures[t] += tokenizer.encode(texts[i]) == expected[i] ? 0 : 1;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, std::vector<int>(4, 0));
}

// More words than are remembered, and words that are too long to be.
TEST(Tokenizer, ForgottenWordsAreEncodedTheSame) {
  const auto tokenizer = Tokenizer::parse(
      bpe_json(vocab_of({"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "12", "x"}), {"1 2"}, {},
               {{"pre_tokenizer", {{"type", "WhitespaceSplit"}}}}));
  const auto expect = [&](const std::string& word) {
    Ids ids;
    for (std::size_t i = 0; i < word.size(); ++i) {
      const bool pair = word.compare(i, 2, "12") == 0;
      ids.push_back(pair ? 10 : word[i] == 'x' ? 11 : word[i] - '0');
      i += pair ? 1 : 0;
    }
    return ids;
  };
  std::string text;
  Ids expected;
  const auto add = [&](const std::string& word) {
    text += word + " ";
    for (const std::int32_t id : expect(word)) expected.push_back(id);
  };
  for (int i = 0; i < 140000; ++i) add(std::to_string(i));
  for (std::size_t length = 120; length < 140; ++length) add("12" + std::string(length, 'x'));
  for (int i = 0; i < 1000; ++i) add(std::to_string(i));
  EXPECT_TRUE(tokenizer.encode(text) == expected);
}

}  // namespace
}  // namespace terse::test
