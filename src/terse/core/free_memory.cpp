#include "terse/core/free_memory.h"

#include <cstdlib>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace terse {

void release_free_memory() {
#if defined(__GLIBC__)
  // Pages that are given back are zeroed when they are needed again: less than this is kept.
  constexpr std::size_t kWorthReturning = std::size_t{48} << 20;
  if (::mallinfo2().fordblks >= kWorthReturning) ::malloc_trim(0);
#endif
}

}  // namespace terse
