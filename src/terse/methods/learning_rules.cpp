#include "terse/methods/learning_rules.h"

#include <algorithm>
#include <map>
#include <utility>

namespace terse {
namespace {

std::map<std::string, std::unique_ptr<LearningRules>>& all_rules() {
  static std::map<std::string, std::unique_ptr<LearningRules>> all;
  return all;
}

}  // namespace

bool LearningStep::is_aimed_at(const std::string& module) const {
  return std::ranges::find(linears, module, &LearnedLinear::module) != linears.end();
}

LearningMethodRegistration::LearningMethodRegistration(MethodInfo info,
                                                       std::unique_ptr<LearningRules> rules) {
  all_rules()[info.name] = std::move(rules);
  MethodRegistry::instance().add(std::move(info));
}

bool learns(const MethodInfo& info) {
  return info.need == MethodNeed::gradients;
}

bool reconstructs(const MethodInfo& info) {
  return info.need == MethodNeed::block_inputs_outputs;
}

bool only_rounds(const MethodInfo& info) {
  return info.category == "quantize" && !learns(info) &&
         (info.scope == MethodScope::linear || reconstructs(info));
}

const LearningRules& learning_rules(const MethodInfo& info) {
  static const LearningRules none;
  const auto found = all_rules().find(info.name);
  return found == all_rules().end() ? none : *found->second;
}

}  // namespace terse
