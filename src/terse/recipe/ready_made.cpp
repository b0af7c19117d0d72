#include "terse/recipe/ready_made.h"

namespace terse {

std::string_view ReadyMadeRecipe::summary() const {
  std::string_view line = text.substr(0, text.find('\n'));
  line.remove_prefix(line.starts_with("# ") ? 2 : line.size());
  return line;
}

}  // namespace terse
