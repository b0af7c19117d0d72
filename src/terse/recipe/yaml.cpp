#include "terse/recipe/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <unordered_set>
#include <utility>

#include "terse/core/text.h"
#include "terse/tokenizer/unicode.h"

namespace terse {
namespace {

constexpr std::size_t kLongestText = std::size_t{1} << 20;
constexpr std::size_t kMaximumDepth = 16;
constexpr std::size_t kLongestMessage = 400;  // bytes

std::string shortened(std::string_view text, std::size_t length) {
  if (text.size() <= length) return std::string(text);
  const std::string_view head = text.substr(0, length);
  return std::string(head.substr(0, complete_utf8_prefix(head))) + "...";
}

// Where the text begins after a byte order mark, which is no column of the first line.
std::size_t text_start(std::string_view text) {
  return text.starts_with("\xef\xbb\xbf") ? 3 : 0;
}

// The bytes of one line up to a column.
std::string_view line_before(std::string_view text, TextPosition at) {
  std::size_t start = text_start(text);
  for (int line = 0; line < at.line; ++line) {
    const std::size_t end = text.find('\n', start);
    if (end == std::string_view::npos) return {};
    start = end + 1;
  }
  return text.substr(start, static_cast<std::size_t>(std::max(at.column, 0)));
}

std::int64_t count_characters(std::string_view text) {
  return std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U; });
}

bool is_control(std::string_view text, std::size_t at) {
  const auto code = static_cast<unsigned char>(text[at]);
  if (code == '\r') return !text.substr(at + 1).starts_with('\n');
  return (code < 0x20 && code != '\t' && code != '\n') || code == 0x7f;
}

// yaml-cpp would read other encodings, and takes one control character for the end of the text.
void check_characters(const SourceText& source) {
  const std::string_view text = source.text;
  TextPosition at;
  for (std::size_t i = text_start(text); i < text.size();) {
    const Utf8Step step = read_utf8(text, i);
    if (step.kind != Utf8Step::Kind::character) throw source.error(at, "is not UTF-8");
    if (is_control(text, i)) {
      throw source.error(at, fmt::format("holds the control character {}", text.substr(i, 1)));
    }
    at = text[i] == '\n' ? TextPosition{at.line + 1, 0}
                         : TextPosition{at.line, at.column + static_cast<int>(step.length)};
    i += step.length;
  }
}

// The text without white space at its end, where yaml-cpp overlooks a quote that is not closed.
std::string_view trimmed(std::string_view text) {
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

// Of errors at the end of a text yaml-cpp tells the line alone.
TextPosition error_position(const YAML::Exception& error, std::string_view text) {
  const TextPosition at{error.mark.line, error.mark.column};
  const auto last_line = static_cast<int>(std::ranges::count(text, '\n'));
  if (at.line != last_line || at.column > 0 || !error.msg.starts_with("end of ")) return at;
  return {last_line, static_cast<int>(text.size() - (text.rfind('\n') + 1))};
}

// Builds the tree from what yaml-cpp finds, and refuses what recipes have no use for before it
// costs anything.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const SourceText& source) : source_(source) {}

  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (std::exchange(begun_, true)) refuse(mark, "a second document begins; a recipe is one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, "", anchor);
    add({YamlNode::Kind::null, position(mark), {}, {}, {}});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases are not used in recipes; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check(mark, tag, anchor);
    add({YamlNode::Kind::scalar, position(mark), value, {}, {}});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::sequence);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::mapping);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    YamlNode node;
    std::unordered_set<std::string> seen;
  };

  static TextPosition position(const YAML::Mark& mark) { return {mark.line, mark.column}; }

  [[noreturn]] void refuse(const YAML::Mark& mark, std::string_view message) const {
    throw source_.error(position(mark), message);
  }

  void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    if (anchor != YAML::NullAnchor) refuse(mark, "anchors are not used in recipes");
    // "?" and "!" stand for plain and quoted values without a tag.
    if (!tag.empty() && tag != "?" && tag != "!") refuse(mark, "tags are not used in recipes");
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    check(mark, tag, anchor);
    if (frames_.size() == kMaximumDepth) {
      refuse(mark, fmt::format("is nested deeper than {} levels", kMaximumDepth));
    }
    frames_.push_back({{kind, position(mark), {}, {}, {}}, {}});
  }

  void close() {
    YamlNode node = std::move(frames_.back().node);
    frames_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    const bool mapping = frame.node.kind == YamlNode::Kind::mapping;
    if (mapping && frame.node.keys.size() == frame.node.values.size()) {
      add_key(frame, std::move(node));
      return;
    }
    if (mapping && node.kind == YamlNode::Kind::null)
      node.position = frame.node.keys.back().position;
    frame.node.values.push_back(std::move(node));
  }

  void add_key(Frame& frame, YamlNode key) const {
    if (key.kind != YamlNode::Kind::scalar) {
      throw source_.error(key.position, fmt::format("expected a key, found {}", describe(key)));
    }
    if (!frame.seen.insert(key.text).second) {
      throw source_.error(key.position, fmt::format("the key '{}' is given twice", key.text));
    }
    frame.node.keys.push_back(std::move(key));
  }

  const SourceText& source_;
  std::vector<Frame> frames_;
  YamlNode root_;
  bool begun_ = false;
};

}  // namespace

Error SourceText::error(TextPosition at, std::string_view message) const {
  return bad_input("{}:{}:{}: {}", name, at.line + 1, count_characters(line_before(text, at)) + 1,
                   shortened(message, kLongestMessage));
}

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "nothing";
    case YamlNode::Kind::scalar:
      return fmt::format("the value '{}'", node.text);
    case YamlNode::Kind::sequence:
      return "a list";
    case YamlNode::Kind::mapping:
      return "keys with values";
  }
  return "";
}

YamlNode parse_yaml(const SourceText& source) {
  if (source.text.size() > kLongestText) {
    throw source.error(
        {}, fmt::format("has {} bytes; a recipe has at most {}", source.text.size(), kLongestText));
  }
  check_characters(source);
  TreeBuilder builder(source);
  const std::string_view text = trimmed(source.text);
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw source.error(error_position(error, text), "not valid YAML: " + error.msg);
  }
  return builder.take();
}

}  // namespace terse
