#include "terse/recipe/recipe_text.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/method_registry.h"
#include "terse/core/text.h"
#include "terse/recipe/ready_made.h"
#include "terse/recipe/recipe_check.h"
#include "terse/recipe/selector.h"
#include "terse/recipe/yaml.h"

namespace terse {
namespace {

using Kind = YamlNode::Kind;

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

// What the value of each key of a mapping becomes.
using Fields = std::map<std::string, std::function<void(const YamlNode& value)>>;

const YamlNode* find_value(const YamlNode& mapping, std::string_view key) {
  for (std::size_t i = 0; i < mapping.keys.size(); ++i) {
    if (mapping.keys[i].text == key) return &mapping.values[i];
  }
  return nullptr;
}

std::string key_list(const YamlNode& mapping) {
  std::string list;
  for (const YamlNode& key : mapping.keys) list += (list.empty() ? "" : ", ") + key.text;
  return list;
}

class RecipeReader {
 public:
  explicit RecipeReader(const SourceText& source) : source_(source) {}

  Recipe read(const YamlNode& root) {
    if (root.kind == Kind::null) fail(root, "the recipe is empty; expected steps");
    Recipe recipe;
    read_fields(
        root, "a recipe",
        {{"calibration", [&](const YamlNode& v) { recipe.calibration = read_calibration(v); }},
         {"training", [&](const YamlNode& v) { recipe.training = read_training(v); }},
         {"importance", [&](const YamlNode& v) { recipe.importance = text(v, "a path"); }},
         {"true_sequential", [&](const YamlNode& v) { recipe.true_sequential = flag(v); }},
         {"steps", [&](const YamlNode& v) { recipe.steps = read_steps(v); }},
         {"output", [&](const YamlNode& v) { recipe.output = read_output(v); }}});
    if (recipe.steps.empty()) fail(root, "the recipe has no steps; it would do nothing");
    return recipe;
  }

 private:
  [[noreturn]] void fail(const YamlNode& at, std::string_view message) const {
    throw source_.error(at.position, message);
  }

  // Gives errors of checks that know no places the place of a node.
  template <class Body>
  auto located(const YamlNode& node, const Body& body) const {
    try {
      return body();
    } catch (const Error& error) {
      throw source_.error(node.position, error.what());
    }
  }

  void read_fields(const YamlNode& node, std::string_view what, const Fields& fields) const {
    if (node.kind != Kind::mapping) {
      fail(node, fmt::format("{}: expected keys with values, found {}", what, describe(node)));
    }
    std::vector<std::string> known;
    for (const auto& entry : fields) known.push_back(entry.first);
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      const auto field = fields.find(node.keys[i].text);
      if (field == fields.end()) {
        const std::string& word = node.keys[i].text;
        fail(node.keys[i], fmt::format("unknown key '{}' in {}; did you mean '{}'?", word, what,
                                       nearest_word(word, known)));
      }
      field->second(node.values[i]);
    }
  }

  const std::string& text(const YamlNode& node, std::string_view expected) const {
    if (node.kind != Kind::scalar || node.text.empty()) {
      fail(node, fmt::format("expected {}, found {}", expected, describe(node)));
    }
    return node.text;
  }

  // A list of texts, or one text for a list of one.
  std::vector<std::string> texts(const YamlNode& node, std::string_view expected) const {
    if (node.kind == Kind::scalar) return {text(node, expected)};
    if (node.kind != Kind::sequence || node.values.empty()) {
      fail(node, fmt::format("expected {} or a list, found {}", expected,
                             node.kind == Kind::sequence ? "an empty list" : describe(node)));
    }
    std::vector<std::string> all;
    for (const YamlNode& value : node.values) all.push_back(text(value, expected));
    return all;
  }

  std::vector<std::string> selectors(const YamlNode& node) const {
    std::vector<std::string> all = texts(node, "a selector");
    for (std::size_t i = 0; i < all.size(); ++i) {
      located(node.kind == Kind::scalar ? node : node.values[i],
              [&] { const Selector checked(all[i]); });
    }
    return all;
  }

  bool flag(const YamlNode& node) const {
    const std::string& word = text(node, "true or false");
    if (word != "true" && word != "false") {
      fail(node, fmt::format("expected true or false, found {}", describe(node)));
    }
    return word == "true";
  }

  std::int64_t integer(const YamlNode& node, std::int64_t minimum, std::int64_t maximum) const {
    const std::string expected = maximum == kLargest
                                     ? fmt::format("an integer from {} on", minimum)
                                     : fmt::format("an integer from {} to {}", minimum, maximum);
    const std::string& digits = text(node, expected);
    std::int64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto result = std::from_chars(digits.data(), end, value);
    if (result.ec != std::errc() || result.ptr != end || value < minimum || value > maximum) {
      fail(node, fmt::format("expected {}, found {}", expected, describe(node)));
    }
    return value;
  }

  CalibrationSettings read_calibration(const YamlNode& node) const {
    CalibrationSettings c;
    read_fields(node, "calibration",
                {{"text",
                  [&](const YamlNode& v) {
                    for (const std::string& path : texts(v, "a path")) c.texts.emplace_back(path);
                  }},
                 {"text_key", [&](const YamlNode& v) { c.text_key = text(v, "a key"); }},
                 {"tokens", [&](const YamlNode& v) { c.token_file = text(v, "a path"); }},
                 {"samples", [&](const YamlNode& v) { c.samples = integer(v, 1, kLargest); }},
                 {"window", [&](const YamlNode& v) { c.window = integer(v, 1, kLargest); }},
                 {"seed", [&](const YamlNode& v) {
                    c.seed = static_cast<std::uint64_t>(integer(v, 0, kLargest));
                  }}});
    if (!c.texts.empty() && !c.token_file.empty()) {
      fail(*find_value(node, "tokens"), "text and tokens are both given; leave one of them out");
    }
    return c;
  }

  RecipeTraining read_training(const YamlNode& node) const {
    RecipeTraining t;
    read_fields(
        node, "training",
        {{"text",
          [&](const YamlNode& v) {
            for (const std::string& path : texts(v, "a path")) {
              t.text.texts.emplace_back(path);
            }
          }},
         {"text_key", [&](const YamlNode& v) { t.text.text_key = text(v, "a key"); }},
         {"tokens", [&](const YamlNode& v) { t.text.token_file = text(v, "a path"); }},
         {"window", [&](const YamlNode& v) { t.window = integer(v, 1, kLargest); }},
         {"teacher", [&](const YamlNode& v) { t.teacher = text(v, "a path"); }},
         {"teacher_outputs", [&](const YamlNode& v) { t.teacher_outputs = text(v, "a path"); }},
         {"teacher_top_k", [&](const YamlNode& v) { t.teacher_top_k = integer(v, 1, kLargest); }}});
    if (!t.text.texts.empty() && !t.text.token_file.empty()) {
      fail(*find_value(node, "tokens"), "text and tokens are both given; leave one of them out");
    }
    return t;
  }

  OutputSettings read_output(const YamlNode& node) const {
    OutputSettings o;
    read_fields(node, "output",
                {{"embeddings_bits", [&](const YamlNode& v) { o.embeddings_bits = bits(v); }},
                 {"dequantize", [&](const YamlNode& v) { o.dequantize = flag(v); }},
                 {"pad", [&](const YamlNode& v) { o.pad = flag(v); }},
                 {"expand", [&](const YamlNode& v) { o.expand = flag(v); }},
                 {"sparse", [&](const YamlNode& v) { o.sparse = sparse_storage(v); }}});
    return o;
  }

  int bits(const YamlNode& node) const {
    if (node.text == "0") return 0;
    return static_cast<int>(integer(node, 2, 8));
  }

  SparseStorage sparse_storage(const YamlNode& node) const {
    const std::string& word = text(node, "smallest or dense");
    if (word == "smallest") return SparseStorage::smallest;
    if (word == "dense") return SparseStorage::dense;
    fail(node, fmt::format("expected smallest or dense, found {}", describe(node)));
  }

  std::vector<RecipeStep> read_steps(const YamlNode& node) const {
    if (node.kind != Kind::sequence || node.values.empty()) {
      fail(node, fmt::format("steps: expected a list of steps, found {}",
                             node.kind == Kind::sequence ? "an empty one" : describe(node)));
    }
    std::vector<RecipeStep> steps;
    for (const YamlNode& step : node.values) steps.push_back(read_step(step));
    return steps;
  }

  RecipeStep read_step(const YamlNode& node) const {
    const YamlNode* method = find_value(node, "method");
    if (method == nullptr) {
      fail(node, fmt::format("a step: expected keys with values, 'method' among them, found {}",
                             node.kind == Kind::mapping ? key_list(node) : describe(node)));
    }
    RecipeStep step;
    step.method = text(*method, "the name of a method");
    const MethodInfo& info = located(*method, [&]() -> const MethodInfo& {
      return MethodRegistry::instance().find(step.method);
    });
    Fields fields{{"method", [](const YamlNode&) {}},
                  {"targets", [&](const YamlNode& v) { step.targets = selectors(v); }},
                  {"ignore", [&](const YamlNode& v) { step.ignore = selectors(v); }},
                  {"remeasure", [&](const YamlNode& v) { step.remeasure = flag(v); }}};
    for (const MethodOption& option : info.options) {
      fields[option.name] = [&](const YamlNode& v) {
        step.options[option.name] = read_option(v, info, option.name);
      };
    }
    read_fields(node, "a step of " + info.name, fields);
    located(*method, [&] {
      check_tables(info, step);
      check_combination(info, step);
    });
    return step;
  }

  StepOption read_option(const YamlNode& node, const MethodInfo& info,
                         const std::string& name) const {
    if (node.kind == Kind::scalar) return {option_value(node, info, name), {}};
    if (node.kind != Kind::mapping || node.keys.empty()) {
      fail(node, fmt::format("option {}: expected a value or a table of selectors, found {}", name,
                             node.kind == Kind::mapping ? "an empty table" : describe(node)));
    }
    StepOption option;
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      std::string value = option_value(node.values[i], info, name);
      const std::string& selector = node.keys[i].text;
      if (selector == "default") {
        option.value = std::move(value);
      } else {
        located(node.keys[i], [&] { const Selector checked(selector); });
        option.table.emplace_back(selector, std::move(value));
      }
    }
    return option;
  }

  std::string option_value(const YamlNode& node, const MethodInfo& info,
                           const std::string& name) const {
    if (node.kind != Kind::scalar) {
      fail(node, fmt::format("option {}: expected a value, found {}", name, describe(node)));
    }
    located(node, [&] { check_option(info, name, node.text); });
    return node.text;
  }

  const SourceText& source_;
};

Recipe load_ready_made(const std::string& name) {
  std::vector<std::string> names;
  for (const ReadyMadeRecipe& recipe : ready_made_recipes()) {
    if (recipe.name == name) return parse_recipe(recipe.text, name + ".yaml");
    names.emplace_back(recipe.name);
  }
  throw bad_input(
      "{}: no such file, and no ready-made recipe of this name; did you mean '{}'? (ready-made "
      "are {})",
      name, nearest_word(name, names), fmt::join(names, ", "));
}

}  // namespace

Recipe parse_recipe(std::string_view text, const std::string& source_name) {
  const SourceText source{text, source_name};
  return RecipeReader(source).read(parse_yaml(source));
}

Recipe load_recipe(const std::filesystem::path& path) {
  std::error_code unreadable;
  if (!path.has_parent_path() && !std::filesystem::exists(path, unreadable)) {
    return load_ready_made(path.string());
  }
  const auto file = MappedFile::open(path);
  return parse_recipe({reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()},
                      path.string());
}

}  // namespace terse
