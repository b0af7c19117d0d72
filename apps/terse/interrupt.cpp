#include "interrupt.h"

#include <atomic>

namespace terse::cli {
namespace {

std::atomic<bool> wished{false};
static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers may set it");

extern "C" void wish(int /*signal*/) {
  wished = true;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  wished = false;
  struct sigaction action = {};
  action.sa_handler = wish;
  // Output goes on where it was; the second signal does what it did before.
  action.sa_flags = SA_RESTART | SA_RESETHAND;
  ::sigaction(SIGINT, &action, &before_);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &before_, nullptr);
}

bool InterruptGuard::interrupted() const {
  return wished;
}

}  // namespace terse::cli
