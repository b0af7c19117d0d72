#include "terse/methods/allocation.h"

#include <algorithm>
#include <utility>

#include "terse/core/error.h"

namespace terse {
namespace {

struct Registered {
  std::string option;
  AllocationFactory factory;
};

std::map<std::string, Registered, std::less<>>& registered() {
  static std::map<std::string, Registered, std::less<>> all;
  return all;
}

const Registered& find_allocation(const MethodOptions& options) {
  const auto found = registered().find(options.text("allocation"));
  if (found == registered().end()) {
    throw failure("no allocation is registered as '{}'", options.text("allocation"));
  }
  return found->second;
}

}  // namespace

AllocationRegistration::AllocationRegistration(std::string name, std::string option,
                                               AllocationFactory factory) {
  registered()[std::move(name)] = {std::move(option), std::move(factory)};
}

std::unique_ptr<Allocation> make_allocation(const MethodInfo& info, const MethodOptions& options) {
  const bool has_option = std::ranges::any_of(
      info.options, [](const MethodOption& option) { return option.name == "allocation"; });
  if (!has_option || options.text("allocation") == "uniform") return nullptr;
  return find_allocation(options).factory(info, options);
}

const std::string& allocated_option(const MethodOptions& options) {
  return find_allocation(options).option;
}

}  // namespace terse
