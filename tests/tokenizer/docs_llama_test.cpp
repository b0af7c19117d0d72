// The tokenizer of the model in the repository, against the ids that Hugging Face tokenizers gave
// (tests/oracle/docs-llama.json).
#include <gtest/gtest.h>

#include "tokenizer/support.h"

namespace terse::test {
namespace {

const std::filesystem::path kSource = TERSE_SOURCE_DIR;

Tokenizer docs_llama() {
  return Tokenizer::load(kSource / "models" / "docs-llama" / "tokenizer.json");
}

TEST(DocsLlama, EncodesAsTheReference) {
  const Json oracle = read_json(kSource / "tests" / "oracle" / "docs-llama.json")["tokenizer"];
  const auto text = oracle["text"].get<std::string>();
  const auto ids = oracle["ids"].get<Ids>();
  const Tokenizer tokenizer = docs_llama();
  // The file has no post-processor: special tokens are not added either way.
  EXPECT_EQ(tokenizer.encode(text, false), ids);
  EXPECT_EQ(tokenizer.encode(text, true), ids);
  EXPECT_EQ(tokenizer.decode(ids), text);
}

TEST(DocsLlama, HasItsVocabulary) {
  const Tokenizer tokenizer = docs_llama();
  const Json config = read_json(kSource / "models" / "docs-llama" / "config.json");
  EXPECT_EQ(tokenizer.vocab_size(), get_integer(config, "vocab_size"));
  EXPECT_EQ(tokenizer.token_id("<|endoftext|>"), 0);
  EXPECT_EQ(tokenizer.token(0), "<|endoftext|>");
  EXPECT_TRUE(tokenizer.is_special(0));
  EXPECT_FALSE(tokenizer.is_special(2));
  EXPECT_EQ(tokenizer.token_id("no such token"), std::nullopt);
}

TEST(DocsLlama, FindsSpecialTokensInText) {
  const Tokenizer tokenizer = docs_llama();
  const Ids ids = tokenizer.encode("model<|endoftext|>model");
  ASSERT_EQ(ids.size(), 2 * tokenizer.encode("model").size() + 1);
  EXPECT_EQ(ids[ids.size() / 2], 0);
  EXPECT_EQ(tokenizer.decode(ids), "modelmodel");
  EXPECT_EQ(tokenizer.decode(ids, false), "model<|endoftext|>model");
}

}  // namespace
}  // namespace terse::test
