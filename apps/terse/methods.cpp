// terse methods: what can be done to a model, from the methods' own registrations.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "commands.h"
#include "terminal.h"
#include "terse/core/method_registry.h"
#include "terse/methods/shape_method.h"
#include "terse/recipe/ready_made.h"

namespace terse::cli {
namespace {

// Bounds that stand for none.
constexpr double kUnbounded = 1e300;

struct Options {
  std::string method;
  bool json = false;
};

std::string type_name(const MethodOption& option) {
  constexpr std::array<const char*, 4> kNames{"true or false", "integer", "number", "text"};
  return kNames[option.default_value.index()];
}

std::string allowed(const MethodOption& option) {
  if (!option.choices.empty()) return fmt::format("{}", fmt::join(option.choices, ", "));
  const bool below = option.minimum > -kUnbounded;
  const bool above = option.maximum < kUnbounded;
  if (below && above) return fmt::format("{} to {}", option.minimum, option.maximum);
  if (below) return fmt::format("from {} on", option.minimum);
  return above ? fmt::format("up to {}", option.maximum) : "";
}

// A value as a recipe has it: what YAML could take for something else is quoted.
std::string yaml_text(const OptionValue& value) {
  const std::string text = option_text(value);
  const bool plain = !text.empty() && std::ranges::all_of(text, [](unsigned char symbol) {
    return std::isalnum(symbol) != 0 || symbol == '_' || symbol == '.' || symbol == '-';
  });
  return plain ? text : "\"" + text + "\"";
}

// A recipe of one step, with the first options of the method as they are by default.
std::string example(const MethodInfo& info) {
  constexpr std::size_t kShown = 2;
  std::size_t shown = 0;
  const bool scored = info.need == MethodNeed::importance;
  std::string text = scored ? "importance: scores.safetensors\n" : "";
  text += "steps:\n  - method: " + info.name + "\n";
  for (std::size_t i = 0; i < std::min(kShown, info.options.size()); ++i) {
    const MethodOption& option = info.options[i];
    if (option_text(option.default_value).empty()) continue;
    // Of sizes that are 0 by default, which asks for nothing, the first one is given.
    const bool size = reshapes(info) && option_text(option.default_value) == "0";
    if (size && shown > 0) continue;
    text += fmt::format("    {}: {}\n", option.name, size ? "2" : yaml_text(option.default_value));
    ++shown;
  }
  if (reshapes(info)) return text;
  return text + "    ignore: blocks 0\n";
}

Json to_json(const MethodOption& option) {
  Json json = {{"name", option.name}, {"type", type_name(option)}, {"help", option.help}};
  std::visit([&](const auto& value) { json["default"] = value; }, option.default_value);
  if (!option.choices.empty()) json["choices"] = option.choices;
  if (option.minimum > -kUnbounded) json["minimum"] = option.minimum;
  if (option.maximum < kUnbounded) json["maximum"] = option.maximum;
  return json;
}

Json to_json(const MethodInfo& info) {
  Json options = Json::array();
  for (const MethodOption& option : info.options) options.push_back(to_json(option));
  return {{"name", info.name},
          {"category", info.category},
          {"summary", info.summary},
          {"paper", info.paper},
          {"scope", scope_name(info.scope)},
          {"needs", need_name(info.need)},
          {"options", std::move(options)},
          {"example", example(info)}};
}

using Row = std::vector<std::string>;

// Columns as wide as what they hold, the last one as it is.
void print_table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const Row& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); ++i) fmt::print("{:<{}}  ", row[i], widths[i]);
    fmt::print("{}\n", row.back());
  }
}

void print_list() {
  std::vector<Row> methods{{"method", "category", "changes", "needs", "what it does"}};
  for (const auto& [name, info] : MethodRegistry::instance().all()) {
    methods.push_back({name, info.category, std::string(scope_name(info.scope)),
                       std::string(need_name(info.need)), info.summary});
  }
  print_table(methods);
  std::vector<Row> recipes{{"ready-made recipe", "what it does"}};
  for (const ReadyMadeRecipe& recipe : ready_made_recipes()) {
    recipes.push_back({std::string(recipe.name), std::string(recipe.summary())});
  }
  fmt::print("\n");
  print_table(recipes);
  fmt::print("\nterse methods METHOD explains one.\n");
}

void print_method(const MethodInfo& info) {
  fmt::print("{}: {}\n\n", info.name, info.summary);
  print_table({{"category", info.category},
               {"changes", std::string(scope_name(info.scope))},
               {"needs", std::string(need_name(info.need))},
               {"paper", info.paper}});
  if (!info.options.empty()) {
    std::vector<Row> options{{"option", "type", "default", "allowed", "meaning"}};
    for (const MethodOption& option : info.options) {
      options.push_back({option.name, type_name(option), option_text(option.default_value),
                         allowed(option), option.help});
    }
    fmt::print("\n");
    print_table(options);
  }
  fmt::print("\nIn a recipe, for example:\n\n{}", example(info));
}

Json list_json() {
  Json list = {{"methods", Json::array()}, {"recipes", Json::array()}};
  for (const auto& entry : MethodRegistry::instance().all()) {
    list["methods"].push_back(to_json(entry.second));
  }
  for (const ReadyMadeRecipe& recipe : ready_made_recipes()) {
    list["recipes"].push_back(
        {{"name", recipe.name}, {"summary", recipe.summary()}, {"text", recipe.text}});
  }
  return list;
}

void run(const Options& options) {
  if (options.method.empty()) {
    options.json ? print_json(list_json()) : print_list();
    return;
  }
  const MethodInfo& info = MethodRegistry::instance().find(options.method);
  options.json ? print_json(to_json(info)) : print_method(info);
}

}  // namespace

void add_methods(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "methods", "List methods and ready-made recipes, or explain one method and its options");
  command->footer("Examples:\n  terse methods\n  terse methods gptq");
  command->add_option("method", options->method, "Method to explain (default: list all)");
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
