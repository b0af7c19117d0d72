// Vectors whose storage begins on a cache line.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace terse::kernels {

inline constexpr std::size_t kAlignment = 64;

/// Begins at a multiple of `Alignment` bytes.
template <class T, std::size_t Alignment = kAlignment>
struct AlignedAllocator {
  using value_type = T;
  template <class U>
  struct rebind {
    using other = AlignedAllocator<U, Alignment>;
  };

  AlignedAllocator() = default;
  template <class U>
  explicit AlignedAllocator(const AlignedAllocator<U, Alignment>& /*other*/) {}

  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{Alignment}));
  }
  void deallocate(T* values, std::size_t /*count*/) {
    ::operator delete (values, std::align_val_t{Alignment});
  }

  bool operator==(const AlignedAllocator& /*other*/) const { return true; }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

/// For packed weights. Elements are not initialised: threads that pack them touch the memory first.
/// What is larger than a huge page asks for those, so that reading it all misses fewer addresses.
template <class T>
struct WeightAllocator {
  using value_type = T;
  static constexpr std::size_t kHugePage = std::size_t{1} << 21;
  using Huge = AlignedAllocator<T, kHugePage>;

  WeightAllocator() = default;
  template <class U>
  explicit WeightAllocator(const WeightAllocator<U>& /*other*/) {}

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    if (bytes < kHugePage) return AlignedAllocator<T>().allocate(count);
    T* values = Huge().allocate(count);
    madvise(values, bytes, MADV_HUGEPAGE);
    return values;
  }
  void deallocate(T* values, std::size_t count) {
    if (count * sizeof(T) < kHugePage) return AlignedAllocator<T>().deallocate(values, count);
    Huge().deallocate(values, count);
  }

  template <class U>
  void construct(U* /*at*/) {}
  template <class U, class Value>
  void construct(U* at, Value&& value) {
    std::construct_at(at, std::forward<Value>(value));
  }

  bool operator==(const WeightAllocator& /*other*/) const { return true; }
};

using WeightStorage = std::vector<std::byte, WeightAllocator<std::byte>>;

}  // namespace terse::kernels
