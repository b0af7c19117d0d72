#include "terse/methods/shape_method.h"

#include <map>
#include <string>
#include <utility>

#include "terse/core/error.h"

namespace terse {
namespace {

std::map<std::string, ShapeMethodFactory, std::less<>>& factories() {
  static std::map<std::string, ShapeMethodFactory, std::less<>> all;
  return all;
}

}  // namespace

std::vector<KeptBlock> ShapeMethod::kept(const Model& model, Evaluator& /*evaluator*/) const {
  return kept(model.architecture());
}

ShapeMethodRegistration::ShapeMethodRegistration(MethodInfo info, ShapeMethodFactory factory) {
  factories()[info.name] = std::move(factory);
  MethodRegistry::instance().add(std::move(info));
}

bool is_calibrated(const ShapeMethod& method) {
  const std::optional<StatisticsNeeds> rewriting = method.rewriting();
  return method.needs().calibrated() || (rewriting && rewriting->any()) || method.resolves() ||
         method.compensation() != Compensation::none;
}

bool reshapes(const MethodInfo& info) {
  return factories().contains(info.name);
}

std::unique_ptr<ShapeMethod> make_shape_method(const MethodInfo& info,
                                               const MethodOptions& options) {
  const auto found = factories().find(info.name);
  if (found == factories().end()) throw failure("{} does not change shapes", info.name);
  return found->second(options);
}

}  // namespace terse
