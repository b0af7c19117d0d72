// Any bytes as a recipe: refused with a place, or complete and valid, with a canonical form.
// Nothing but bad_input may leave.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "terse/core/error.h"
#include "terse/recipe/difference.h"
#include "terse/recipe/recipe_check.h"
#include "terse/recipe/recipe_text.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  terse::Recipe recipe;
  try {
    recipe = terse::parse_recipe({reinterpret_cast<const char*>(data), size}, "recipe");
  } catch (const terse::Error& error) {
    require(error.kind() == terse::ErrorKind::bad_input);
    require(std::string_view(error.what()).starts_with("recipe:"));
    return 0;
  }
  try {
    terse::check_recipe(recipe);
  } catch (const terse::Error& error) {
    // Flags may give what the text leaves out: what is learned from, importance scores.
    require(error.kind() == terse::ErrorKind::usage);
    return 0;
  }
  const terse::Json json = terse::to_json(recipe);
  require(terse::first_difference(json, terse::parse_json(json.dump())).empty());
  return 0;
}
