// The flags of verbs that take a recipe: a file, or one step made of flags.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "terse/recipe/recipe.h"

namespace terse::cli {

/// What was given. Flags of calibration and output go over those of a recipe file.
struct RecipeOptions {
  std::string file;
  std::string method;
  std::map<std::string, std::string> method_options;
  std::vector<std::string> targets;
  std::vector<std::string> ignore;
  std::vector<std::function<void(Recipe&)>> changes;

  /// The recipe that they say. Errors: bad_input for a recipe file, bad_usage for flags.
  Recipe recipe() const;

  /// `body` with the recipe's file named in errors that it is to blame for: they are bad_input.
  void blame(const std::function<void()>& body) const;
};

/// `--recipe` (or the positional argument `recipe` too), `--method` and one flag for every option
/// of every method, calibration and output.
void add_recipe_options(CLI::App& command, RecipeOptions& options, bool positional = false);

/// "  gptq: Quantise …" for every method.
std::string method_list();

}  // namespace terse::cli
