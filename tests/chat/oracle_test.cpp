// Every case of tests/oracle/chat_templates.json, which tests/oracle/chat_templates.py wrote with
// Jinja: expressions, statements and whole chats.
#include <gtest/gtest.h>

#include <fstream>

#include "chat/support.h"
#include "support/paths.h"
#include "terse/core/error.h"

namespace terse::test {
namespace {

OrderedJson read_table() {
  std::ifstream stream(source_path("tests/oracle/chat_templates.json"));
  return OrderedJson::parse(stream);
}

// The text, or "refused: " and why.
std::string outcome(const std::string& text, const OrderedJson& context) {
  try {
    return "text: " + render(text, context);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input) << text;
    return std::string("refused: ") + error.what();
  }
}

TEST(ChatTemplateOracle, EveryCaseAgrees) {
  const OrderedJson table = read_table();
  EXPECT_GT(table.size(), 1000U);
  std::string text;
  for (const OrderedJson& entry : table) {
    text = entry.value("template", text);  // a case without one has that of the case before
    const std::string found = outcome(text, entry.at("context"));
    if (entry.contains("error")) {
      EXPECT_TRUE(found.starts_with("refused: ")) << text << "\n" << found;
    } else {
      EXPECT_EQ(found, "text: " + entry.at("expected").get<std::string>()) << text;
    }
  }
}

}  // namespace
}  // namespace terse::test
