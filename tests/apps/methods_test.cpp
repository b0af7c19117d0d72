// terse methods.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/program.h"
#include "terse/core/method_registry.h"
#include "terse/recipe/ready_made.h"
#include "terse/recipe/recipe_text.h"

namespace terse::test {
namespace {

using testing::HasSubstr;

TEST(Methods, ListsEveryMethodAndRecipe) {
  const ProgramResult text = run_terse({"methods"});
  expect_done(text);
  const nlohmann::json json = run_terse({"methods", "--json"}).json();
  const auto& methods = MethodRegistry::instance().all();
  EXPECT_GE(methods.size(), 2U);
  ASSERT_EQ(json.at("methods").size(), methods.size());
  for (const auto& method : json.at("methods")) {
    const MethodInfo& info = MethodRegistry::instance().find(method.at("name").get<std::string>());
    for (const std::string& part :
         {info.name, info.category, info.summary, std::string(scope_name(info.scope)),
          std::string(need_name(info.need))}) {
      EXPECT_THAT(text.out, HasSubstr(part));
    }
    EXPECT_EQ(method.at("options").size(), info.options.size());
  }
  ASSERT_EQ(json.at("recipes").size(), ready_made_recipes().size());
  for (const ReadyMadeRecipe& recipe : ready_made_recipes()) {
    EXPECT_THAT(text.out, HasSubstr(std::string(recipe.name) + " "));
    EXPECT_THAT(text.out, HasSubstr(std::string(recipe.summary())));
  }
  EXPECT_EQ(json.at("recipes").at(0).at("text"), std::string(ready_made_recipes()[0].text));
}

TEST(Methods, ExplainEachOneFromItsRegistration) {
  for (const auto& [name, info] : MethodRegistry::instance().all()) {
    SCOPED_TRACE(name);
    const ProgramResult text = run_terse({"methods", name});
    expect_done(text);
    const nlohmann::json json = run_terse({"methods", name, "--json"}).json();
    EXPECT_EQ(json.at("paper"), info.paper);
    EXPECT_THAT(text.out, HasSubstr(info.paper));
    ASSERT_EQ(json.at("options").size(), info.options.size());
    for (std::size_t i = 0; i < info.options.size(); ++i) {
      const MethodOption& option = info.options[i];
      EXPECT_EQ(json.at("options")[i].at("name"), option.name);
      EXPECT_EQ(json.at("options")[i].at("help"), option.help);
      for (const std::string& choice : option.choices) EXPECT_THAT(text.out, HasSubstr(choice));
      EXPECT_THAT(text.out, HasSubstr(option.help));
    }
    // The example is a recipe, and what is shown is what scripts get.
    const auto example = json.at("example").get<std::string>();
    EXPECT_EQ(parse_recipe(example, "example").steps.at(0).method, name);
    EXPECT_THAT(text.out, testing::EndsWith(example));
  }
}

TEST(Methods, OptionsHaveTypesDefaultsAndBounds) {
  const nlohmann::json options = run_terse({"methods", "gptq", "--json"}).json().at("options");
  const auto option = [&](const std::string& name) {
    for (const auto& entry : options) {
      if (entry.at("name") == name) return entry;
    }
    return nlohmann::json();
  };
  EXPECT_EQ(option("bits").at("type"), "integer");
  EXPECT_EQ(option("bits").at("default"), 4);
  EXPECT_EQ(option("bits").at("minimum"), 2);
  EXPECT_EQ(option("bits").at("maximum"), 8);
  EXPECT_EQ(option("percdamp").at("type"), "number");
  EXPECT_EQ(option("percdamp").at("default"), 0.01);
  EXPECT_EQ(option("desc_act").at("type"), "true or false");
  EXPECT_EQ(option("desc_act").at("default"), false);
  EXPECT_FALSE(option("desc_act").contains("minimum"));
  EXPECT_EQ(option("clip").at("type"), "text");
  EXPECT_EQ(option("clip").at("choices"), nlohmann::json({"minmax", "mse"}));
  const std::string text = run_terse({"methods", "gptq"}).out;
  EXPECT_THAT(text, testing::ContainsRegex("bits +integer +4 +2 to 8 +Bits of a code"));
  EXPECT_THAT(text, testing::ContainsRegex("clip +text +minmax +minmax, mse +Range"));
}

TEST(Methods, AnUnknownOneIsWrongUsage) {
  expect_refused(run_terse({"methods", "gptk"}), 2, {"unknown method 'gptk'", "'gptq'"});
  expect_refused(run_terse({"methods", "gptq", "rtn"}), 2, {"rtn", "terse methods --help"});
}

}  // namespace
}  // namespace terse::test
