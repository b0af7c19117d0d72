// Ctrl-C as a wish that work may ask about.
#pragma once

#include <csignal>

namespace terse::cli {

/// While it lives, the first Ctrl-C is a wish and no end of the program; the second is one again,
/// in case that nobody asks. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool interrupted() const;

 private:
  struct sigaction before_ = {};
};

}  // namespace terse::cli
