#include "terse/methods/prune/allocation.h"

#include <algorithm>
#include <utility>

#include "terse/core/error.h"

namespace terse {
namespace {

using Factories = std::map<std::string, SparsityAllocationFactory, std::less<>>;

Factories& factories() {
  static Factories all;
  return all;
}

}  // namespace

SparsityAllocationRegistration::SparsityAllocationRegistration(std::string name,
                                                               SparsityAllocationFactory factory) {
  factories()[std::move(name)] = std::move(factory);
}

std::unique_ptr<SparsityAllocation> make_sparsity_allocation(const MethodInfo& info,
                                                             const MethodOptions& options) {
  const bool has_option = std::ranges::any_of(
      info.options, [](const MethodOption& option) { return option.name == "allocation"; });
  if (!has_option || options.text("allocation") == "uniform") return nullptr;
  const auto found = factories().find(options.text("allocation"));
  if (found == factories().end()) {
    throw failure("no sparsity allocation is registered as '{}'", options.text("allocation"));
  }
  return found->second(options);
}

}  // namespace terse
