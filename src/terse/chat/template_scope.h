// Variables by name. Loops, macros and blocks that capture have a scope of their own, within that
// of what is around them; what is set in it ends with it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "terse/chat/template_value.h"

namespace terse::chat {

struct Scope {
  std::shared_ptr<Scope> parent;
  std::map<std::string, Value, std::less<>> names;

  /// Null when no scope around knows it.
  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get()) {
      const auto found = scope->names.find(name);
      if (found != scope->names.end()) return &found->second;
    }
    return nullptr;
  }
};
using ScopePtr = std::shared_ptr<Scope>;

}  // namespace terse::chat
