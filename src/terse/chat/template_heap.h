// What rendering a template may cost: steps, and memory that its values hold.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace terse::chat {

/// Bounds that no template of a real model comes near.
struct TemplateLimits {
  std::uint64_t steps = 20'000'000;
  std::uint64_t bytes = std::uint64_t{64} << 20U;
};

/// How deep lists and dicts may lie within each other, how deep a syntax tree may be, and how deep
/// its evaluation may go through calls of macros. Each bounds a recursion on the stack.
constexpr std::size_t kMaximumNesting = 100;
constexpr std::size_t kMaximumSyntaxDepth = 200;
constexpr std::size_t kMaximumEvaluationDepth = 800;

/// Counts what one rendering spends. It must outlive the values that were charged to it.
class Heap {
 public:
  explicit Heap(TemplateLimits limits) : limits_(limits) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  /// Errors: bad_input when the steps are used up.
  void work(std::uint64_t steps);
  /// Errors: bad_input when less is free. `check_room` takes nothing.
  void take(std::uint64_t bytes);
  void check_room(std::uint64_t bytes) const;
  void give_back(std::uint64_t bytes) noexcept { held_ -= bytes; }

 private:
  TemplateLimits limits_;
  std::uint64_t spent_ = 0;
  std::uint64_t held_ = 0;
};

/// Memory of one value, given back with it. What a syntax tree owns is charged to nobody.
class Allocation {
 public:
  Allocation() = default;
  Allocation(Heap& heap, std::uint64_t bytes) : heap_(&heap) { grow(bytes); }
  ~Allocation() {
    if (heap_ != nullptr) heap_->give_back(bytes_);
  }
  Allocation(Allocation&& other) noexcept : heap_(other.heap_), bytes_(other.bytes_) {
    other.heap_ = nullptr;
  }
  Allocation& operator=(Allocation&&) = delete;

  void grow(std::uint64_t bytes) {
    if (heap_ == nullptr) return;
    heap_->take(bytes);
    bytes_ += bytes;
  }

 private:
  Heap* heap_ = nullptr;
  std::uint64_t bytes_ = 0;
};

/// A text that grows only as far as the heap allows.
class BoundedText {
 public:
  explicit BoundedText(Heap& heap) : heap_(heap), allocation_(heap, 0) {}

  void append(std::string_view more) {
    allocation_.grow(more.size());
    // Time is charged too: a template may copy the same long text again and again.
    heap_.work(1 + more.size() / 64);
    text_ += more;
  }
  void append(std::uint64_t count, char character);
  const std::string& text() const { return text_; }
  std::string release() { return std::move(text_); }
  Heap& heap() { return heap_; }

 private:
  Heap& heap_;
  Allocation allocation_;
  std::string text_;
};

}  // namespace terse::chat
