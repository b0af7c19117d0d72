#include "terse/core/memory_monitor.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

namespace terse {
namespace {

constexpr std::chrono::milliseconds kInterval(20);

void raise(std::atomic<std::uint64_t>& peak, std::uint64_t value) {
  peak = std::max(peak.load(), value);
}

}  // namespace

MemoryMonitor::MemoryMonitor() {
  sample();  // a run may be over before the thread has begun
  thread_ = std::thread([this] { run(); });
}

MemoryMonitor::~MemoryMonitor() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  thread_.join();
}

void MemoryMonitor::run() {
  std::unique_lock lock(mutex_);
  do {
    sample();
  } while (!stopped_.wait_for(lock, kInterval, [this] { return stop_; }));
  sample();
}

void MemoryMonitor::sample() {
  std::ifstream status("/proc/self/status");
  std::string key;
  std::uint64_t kilobytes = 0;
  while (status >> key) {
    if (key == "RssAnon:" && status >> kilobytes) raise(peak_anonymous_, kilobytes * 1024);
    if (key == "RssFile:" && status >> kilobytes) raise(peak_file_, kilobytes * 1024);
  }
}

}  // namespace terse
