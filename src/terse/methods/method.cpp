#include "terse/methods/method.h"

#include <map>
#include <utility>

#include "terse/core/error.h"

namespace terse {
namespace {

using Factories = std::map<std::string, LinearMethodFactory, std::less<>>;

Factories& factories() {
  static Factories all;
  return all;
}

}  // namespace

std::vector<LinearResult> LinearMethod::compress_all(std::vector<LinearProblem> problems) const {
  std::vector<LinearResult> results;
  results.reserve(problems.size());
  for (LinearProblem& problem : problems) results.push_back(compress(std::move(problem)));
  return results;
}

LinearMethodRegistration::LinearMethodRegistration(MethodInfo info, LinearMethodFactory factory) {
  factories()[info.name] = std::move(factory);
  MethodRegistry::instance().add(std::move(info));
}

bool has_linear_method(std::string_view name) {
  return factories().contains(name);
}

std::unique_ptr<LinearMethod> make_linear_method(std::string_view name,
                                                 const MethodOptions& options,
                                                 const MethodContext& context) {
  const auto found = factories().find(name);
  if (found != factories().end()) return found->second(options, context);
  const MethodInfo& info = MethodRegistry::instance().find(name);
  throw bad_usage("method {} changes {}, not one linear", info.name, scope_name(info.scope));
}

}  // namespace terse
