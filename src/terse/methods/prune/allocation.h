// How a sparsity asked for the whole model is shared out over its linears.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "terse/core/method_registry.h"
#include "terse/methods/method.h"

namespace terse {

/// Looks at every linear of the model as it was before compression, then says how sparse each is
/// to be. It keeps little of each: the model need not fit into memory.
class SparsityAllocation {
 public:
  virtual ~SparsityAllocation() = default;

  /// What the problems must hold of the linears' inputs.
  virtual MethodNeed need() const = 0;

  /// Linears come in the order of the forward pass, each once.
  virtual void visit(std::int64_t block, const LinearProblem& linear) = 0;

  /// Sparsity in [0, 1] by name of the linear; the weighted mean is the sparsity asked for.
  virtual std::map<std::string, double> sparsities() const = 0;
};

using SparsityAllocationFactory =
    std::function<std::unique_ptr<SparsityAllocation>(const MethodOptions&)>;

/// Makes an allocation known under the name that the option `allocation` of pruners chooses.
class SparsityAllocationRegistration {
 public:
  SparsityAllocationRegistration(std::string name, SparsityAllocationFactory factory);
};

/// The allocation that the options of a step ask for; null when the method has no option
/// `allocation` or it is "uniform". What it returns goes into the option `sparsity` of each linear.
std::unique_ptr<SparsityAllocation> make_sparsity_allocation(const MethodInfo& info,
                                                             const MethodOptions& options);

}  // namespace terse
