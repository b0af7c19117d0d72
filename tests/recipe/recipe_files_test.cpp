// The recipes that people are shown: those of recipes/ and those of the documentation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "support/paths.h"
#include "terse/core/file.h"
#include "terse/recipe/ready_made.h"
#include "terse/recipe/recipe_check.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using test::source_path;

std::set<std::string> recipe_names() {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(source_path("recipes"))) {
    EXPECT_EQ(entry.path().extension(), ".yaml") << entry.path();
    names.insert(entry.path().stem().string());
  }
  return names;
}

class RecipeFile : public testing::TestWithParam<std::string> {
 protected:
  std::string text() const { return read_file(source_path("recipes/" + GetParam() + ".yaml")); }
};

TEST_P(RecipeFile, IsARecipe) {
  const Recipe recipe = load_recipe(source_path("recipes/" + GetParam() + ".yaml"));
  EXPECT_NO_THROW(check_recipe(recipe));
  EXPECT_EQ(to_json(load_recipe(GetParam())), to_json(recipe));
}

TEST_P(RecipeFile, IsExplainedAndBuiltIn) {
  const auto& all = ready_made_recipes();
  const auto found = std::ranges::find(all, GetParam(), &ReadyMadeRecipe::name);
  ASSERT_NE(found, all.end());
  EXPECT_EQ(found->text, text());
  EXPECT_GT(found->summary().size(), 20U);
  EXPECT_LT(found->summary().size(), 100U);
}

INSTANTIATE_TEST_SUITE_P(Recipes, RecipeFile, testing::ValuesIn(recipe_names()),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

// Indented parts of a page, apart where a line is empty, that have a step in them.
std::vector<std::string> recipes_in(const std::string& page) {
  std::istringstream lines(page);
  std::vector<std::string> parts{""};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("    ")) {
      parts.back() += line.substr(4) + "\n";
    } else if (!parts.back().empty()) {
      parts.emplace_back();
    }
  }
  std::erase_if(
      parts, [](const std::string& part) { return part.find("- method: ") == std::string::npos; });
  return parts;
}

TEST(RecipeFiles, TheDocumentationShowsRecipes) {
  const std::vector<std::string> recipes = recipes_in(read_file(source_path("docs/recipes.md")));
  EXPECT_GE(recipes.size(), 6U);
  for (const std::string& text : recipes) {
    SCOPED_TRACE(text);
    EXPECT_NO_THROW(parse_recipe(text.starts_with("- ") ? "steps:\n" + text : text, "recipes.md"));
  }
}

TEST(RecipeFiles, AreThoseThatAreBuiltIn) {
  std::set<std::string> built_in;
  for (const ReadyMadeRecipe& recipe : ready_made_recipes()) built_in.emplace(recipe.name);
  EXPECT_EQ(built_in, recipe_names());
  EXPECT_GE(built_in.size(), 9U);
}

}  // namespace
}  // namespace terse
