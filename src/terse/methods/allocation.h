// How what is asked of the whole model is shared out over its linears.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "terse/core/method_registry.h"
#include "terse/methods/method.h"

namespace terse {

/// Looks at every linear of the model as it was before compression, then gives each a share of its
/// own: how sparse it is to be, or how many parameters it keeps. It remembers little of each: the
/// model need not fit into memory.
class Allocation {
 public:
  virtual ~Allocation() = default;

  /// What the problems must hold of the linears' inputs.
  virtual MethodNeed need() const = 0;

  /// Which scores of their weights they must hold.
  virtual std::optional<ImportanceScore> importance() const { return {}; }

  /// Linears come in the order of the forward pass, each once.
  virtual void visit(std::int64_t block, const LinearProblem& linear) = 0;

  /// Share in [0, 1] by name of the linear.
  virtual std::map<std::string, double> shares() const = 0;
};

using AllocationFactory =
    std::function<std::unique_ptr<Allocation>(const MethodInfo&, const MethodOptions&)>;

/// Makes an allocation known under the name that the option `allocation` of methods chooses. What
/// it finds goes into `option` of each linear, whose value for the step is what is shared out.
class AllocationRegistration {
 public:
  AllocationRegistration(std::string name, std::string option, AllocationFactory factory);
};

/// The allocation that the options of a step ask for; null when the method has no option
/// `allocation` or it is "uniform".
std::unique_ptr<Allocation> make_allocation(const MethodInfo& info, const MethodOptions& options);

/// The option that it shares out.
const std::string& allocated_option(const MethodOptions& options);

}  // namespace terse
