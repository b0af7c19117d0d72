// Published test vectors (shared/tokenizers/SOURCE.md says where they come from).
#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <sstream>

#include "terse/core/file.h"
#include "terse/core/text.h"
#include "tokenizer/support.h"

namespace terse::test {
namespace {

std::filesystem::path tokenizers() {
  return shared_folder() / "tokenizers";
}

#define SKIP_WITHOUT_VECTORS()                                               \
  if (!std::filesystem::exists(tokenizers() / "vectors")) {                  \
    GTEST_SKIP() << "shared data is absent: " << (tokenizers() / "vectors"); \
  }                                                                          \
  static_assert(true)

// phi-2 is GPT-2's tokenizer with tokens for runs of white space added; without these it is
// GPT-2's.
Tokenizer load_gpt2() {
  Json json = read_json(tokenizers() / "phi-2" / "tokenizer.json");
  Json kept = Json::array();
  for (const Json& token : json["added_tokens"]) {
    if (token["special"] == true) kept.push_back(token);
  }
  json["added_tokens"] = kept;
  return Tokenizer::parse(json);
}

Tokenizer load(const std::string& name) {
  return Tokenizer::load(tokenizers() / name / "tokenizer.json");
}

void check_ggml(const Tokenizer& tokenizer, const std::string& name) {
  const auto base = tokenizers() / "vectors" / ("ggml-vocab-" + name + ".gguf");
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::string rest = read_file(base.string() + ".inp");
  std::istringstream lines(read_file(base.string() + ".out"));
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const std::size_t end = rest.find(separator);
    const std::string text = rest.substr(0, end);
    rest = end == std::string::npos ? "" : rest.substr(end + separator.size());
    std::istringstream numbers(line);
    const Ids expected{std::istream_iterator<std::int32_t>(numbers), {}};
    EXPECT_EQ(tokenizer.encode(text, false), expected) << name << ", text: '" << text << "'";
    EXPECT_EQ(tokenizer.decode(expected), text) << name;
  }
  EXPECT_GE(count, 40U);
}

TEST(GgmlVectors, Gpt2) {
  SKIP_WITHOUT_VECTORS();
  check_ggml(load_gpt2(), "gpt-2");
}

TEST(GgmlVectors, Falcon) {
  SKIP_WITHOUT_VECTORS();
  check_ggml(load("falcon"), "falcon");
}

TEST(GgmlVectors, Llama) {
  SKIP_WITHOUT_VECTORS();
  check_ggml(load("llama2"), "llama-spm");
}

// What Python's transformers does to decoded text with clean_up_tokenization_spaces.
std::string clean_up(std::string text) {
  for (const char* mark : {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"}) {
    text = replace_all(std::move(text), std::string(" ") + mark, mark);
    if (std::string_view(mark) == ",") text = replace_all(std::move(text), " ' ", "'");
  }
  return text;
}

// Case -> why it differs. A case that is listed must differ.
using Exceptions = std::map<std::string, std::string>;

struct JsonVectors {
  std::string file;
  std::string model;
  bool cleans_up;
  std::size_t cases;
  Exceptions ids;
  Exceptions decoded;
};

void check_json(const Tokenizer& tokenizer, const JsonVectors& vectors) {
  const Json json = read_json(tokenizers() / "vectors" / vectors.file);
  const Json& cases = json[vectors.model];
  EXPECT_EQ(cases.size(), vectors.cases);
  for (const auto& [name, test] : cases.items()) {
    const auto text = test["text"].get<std::string>();
    const auto expected = test["ids"].get<Ids>();
    EXPECT_EQ(tokenizer.encode(text) == expected, !vectors.ids.contains(name))
        << name << " of " << vectors.model << ", found " << Json(tokenizer.encode(text)).dump()
        << ", expected " << Json(expected).dump();
    std::string decoded = tokenizer.decode(expected, false);
    if (vectors.cleans_up) decoded = clean_up(decoded);
    EXPECT_EQ(decoded == test["decoded"].get<std::string>(), !vectors.decoded.contains(name))
        << name << " of " << vectors.model << ", found '" << decoded << "', expected "
        << test["decoded"];
  }
}

TEST(JsonVectors, Gpt2) {
  SKIP_WITHOUT_VECTORS();
  check_json(load_gpt2(), {"gpt2.json", "Xenova/gpt2", true, 26, {}, {}});
}

TEST(JsonVectors, Falcon) {
  SKIP_WITHOUT_VECTORS();
  check_json(load("falcon"), {"falcon.json", "tiiuae/falcon-7b", true, 24, {}, {}});
}

TEST(JsonVectors, Llama) {
  SKIP_WITHOUT_VECTORS();
  // The stored copy of the tokenizer has spaces where the published one has no-break spaces (tokens
  // 8655, 17891, 20246 and 30081), so that it cannot know the no-break spaces of these texts.
  const Exceptions no_break_spaces{
      {"TEXT_WITH_ESCAPE_CHARACTERS", "no-break spaces are not in the stored vocabulary"},
      {"TEXT_WITH_ESCAPE_CHARACTERS_2", "no-break spaces are not in the stored vocabulary"}};
  check_json(load("llama2"),
             {"llama.json", "Xenova/llama-tokenizer", false, 37, no_break_spaces, no_break_spaces});
}

TEST(JsonVectors, T5) {
  SKIP_WITHOUT_VECTORS();
  check_json(load("t5-small"), {"t5.json", "Xenova/t5-small", true, 29, {}, {}});
}

}  // namespace
}  // namespace terse::test
