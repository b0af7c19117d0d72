// Peak memory of this process, told apart by what it is.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace terse {

/// Samples the resident memory of the process every few milliseconds while it lives. Private
/// memory (RssAnon) is what a machine must have; mapped file pages (RssFile) can be given back.
class MemoryMonitor {
 public:
  MemoryMonitor();
  ~MemoryMonitor();
  MemoryMonitor(const MemoryMonitor&) = delete;
  MemoryMonitor& operator=(const MemoryMonitor&) = delete;

  /// Largest values seen so far, in bytes; 0 where the system does not tell.
  std::uint64_t peak_anonymous() const { return peak_anonymous_; }
  std::uint64_t peak_file() const { return peak_file_; }

 private:
  void sample();
  void run();

  std::atomic<std::uint64_t> peak_anonymous_ = 0;
  std::atomic<std::uint64_t> peak_file_ = 0;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace terse
