#include "terse/recipe/embeddings.h"

#include <algorithm>
#include <map>
#include <string>

namespace terse {
namespace {

std::map<std::string, std::string> rounding_options(const Recipe& recipe, const Architecture& a) {
  std::map<std::string, std::string> options{
      {"bits", std::to_string(recipe.output.embeddings_bits)},
      {"group_size", std::to_string(embedding_group_size(a))}};
  for (const RecipeStep& step : recipe.steps) {
    for (const char* shared : {"scale_dtype", "clip"}) {
      const auto found = step.options.find(shared);
      if (found != step.options.end() && !found->second.value.empty()) {
        options[shared] = found->second.value;
      }
    }
  }
  return options;
}

}  // namespace

std::int64_t embedding_group_size(const Architecture& architecture) {
  const std::int64_t width = architecture.embedding_size;
  std::int64_t group = std::min<std::int64_t>(width, 128);
  while (width % group != 0) --group;
  return group;
}

BlockResult compress_embeddings(const Model& model, const Recipe& recipe) {
  const auto given = rounding_options(recipe, model.architecture());
  const MethodOptions options(MethodRegistry::instance().find("rtn"), given);
  const auto method = make_linear_method("rtn", options, {model.dtype()});
  BlockResult result;
  const auto compress_one = [&](const std::string& module, const Weight& weight) {
    const Matrix before = weight.dense();
    LinearResult rounded = method->compress({module, before});
    store_linear({module, before, std::move(rounded), false,
                  model.checkpoint().tensor(module + ".weight").dtype()},
                 recipe.output, nullptr, result);
  };
  compress_one(model.tied_module(), model.embedding());
  if (!model.tied()) compress_one(model.head_module(), *model.head().weight);
  return result;
}

}  // namespace terse
