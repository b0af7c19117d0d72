// The methods of one kind that the module holds, by their names in the registry.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "terse/core/error.h"

namespace terse::train {

template <class Kind>
class MethodTable {
 public:
  static MethodTable& instance() {
    static MethodTable table;
    return table;
  }

  void add(std::string_view name, std::unique_ptr<Kind> method) {
    methods_[std::string(name)] = std::move(method);
  }

  /// Errors: failed when the module does not hold the method.
  const Kind& find(std::string_view name) const {
    const auto found = methods_.find(name);
    if (found == methods_.end()) throw failure("the training module does not hold {}", name);
    return *found->second;
  }

 private:
  std::map<std::string, std::unique_ptr<Kind>, std::less<>> methods_;
};

/// A static object in a method's file makes it known.
template <class Kind, class Method>
struct MethodEntry {
  explicit MethodEntry(std::string_view name) {
    MethodTable<Kind>::instance().add(name, std::make_unique<Method>());
  }
};

}  // namespace terse::train
