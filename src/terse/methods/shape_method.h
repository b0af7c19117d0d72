// What a method that makes a model smaller in shape is to its callers.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "terse/core/method_registry.h"
#include "terse/model/kept_units.h"

namespace terse {

/// A method that chooses units of a model. It opens no file and prints nothing.
class ShapeMethod {
 public:
  virtual ~ShapeMethod() = default;

  /// What stays, for keep_units. Blocks are loaded and freed again where their weights matter.
  /// Errors: bad_usage for what the model has not; says what it has.
  virtual std::vector<KeptBlock> kept(Model& model) const = 0;
};

using ShapeMethodFactory = std::function<std::unique_ptr<ShapeMethod>(const MethodOptions&)>;

/// A static object in a method's file makes it known: its facts in the core registry, its factory
/// here.
class ShapeMethodRegistration {
 public:
  ShapeMethodRegistration(MethodInfo info, ShapeMethodFactory factory);
};

/// Whether a method changes the shape of a model.
bool reshapes(const MethodInfo& info);

/// Errors: bad_usage for options that contradict; failed for a method without a factory.
std::unique_ptr<ShapeMethod> make_shape_method(const MethodInfo& info,
                                               const MethodOptions& options);

}  // namespace terse
