// Variables by name. Loops, macros and blocks that capture have a scope of their own, within that
// of what is around them; what is set in it ends with it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "terse/chat/template_heap.h"
#include "terse/chat/template_value.h"

namespace terse::chat {

class Scope {
 public:
  explicit Scope(Heap& heap, std::shared_ptr<Scope> parent = nullptr)
      : parent_(std::move(parent)), memory_(heap, kBytes) {}

  /// Errors: bad_input when the heap is full.
  void set(const std::string& name, Value value) {
    const auto [at, added] = names_.insert_or_assign(name, std::move(value));
    if (added) memory_.grow(kBytes + at->first.size());
  }

  /// Null when no scope around knows it.
  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_.get()) {
      const auto found = scope->names_.find(name);
      if (found != scope->names_.end()) return &found->second;
    }
    return nullptr;
  }

 private:
  static constexpr std::uint64_t kBytes = 128;  // about what a scope and each of its names take

  std::shared_ptr<Scope> parent_;
  Allocation memory_;
  std::map<std::string, Value, std::less<>> names_;
};
using ScopePtr = std::shared_ptr<Scope>;

}  // namespace terse::chat
