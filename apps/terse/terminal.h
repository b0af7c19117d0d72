// What verbs share in talking to a person or a script.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "terse/core/json.h"
#include "terse/core/memory_monitor.h"
#include "terse/core/progress.h"

namespace terse::cli {

/// Shows one line with rate and time left on standard error while it is a terminal; quiet
/// otherwise.
class TerminalProgress : public Progress {
 public:
  TerminalProgress();
  ~TerminalProgress() override { end(); }
  TerminalProgress(const TerminalProgress&) = delete;
  TerminalProgress& operator=(const TerminalProgress&) = delete;
  void begin(std::string_view label, std::int64_t total, std::string_view unit) override;
  void advance(std::int64_t units) override;
  void note(std::string_view text) override;
  void end() override;

 private:
  using Clock = std::chrono::steady_clock;

  void show();

  bool visible_;
  std::string label_;
  std::string unit_;
  std::string note_;
  std::int64_t total_ = 0;
  std::int64_t done_ = 0;
  Clock::time_point start_;
  Clock::time_point shown_;
};

/// Time and memory of a run, from its construction on.
class RunMeter {
 public:
  double seconds() const;

  /// Bytes of private memory at most.
  std::uint64_t peak_memory() const { return memory_.peak_anonymous(); }

  /// Sets `seconds`, `peak_memory_bytes` (private memory) and `peak_mapped_bytes` (file pages).
  void add_to(Json& report) const;

  /// "3.2 s, peak memory 120 MB".
  std::string text() const;

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  MemoryMonitor memory_;
};

/// Accepts integers from `least` on.
CLI::Validator at_least(std::int64_t least);

/// `--json`: one object on standard output instead of text.
void add_json_flag(CLI::App& command, bool& json);

void print_json(const Json& report);

/// Says what a verb found: `object`, with time and memory, as JSON; or what `text` prints and a
/// line of both.
void show(bool json, const RunMeter& meter, const std::function<Json()>& object,
          const std::function<void()>& text);

/// `--memory`: bytes, with units such as MiB and GB.
void add_memory_option(CLI::App& command, std::uint64_t& memory);

/// "12 min 5 s", "3.2 s".
std::string duration_text(double seconds);

/// Prints how many tokens were worked on, and how many a second.
void print_rate(std::int64_t tokens, double seconds);

/// An integer with thousands separated by commas.
std::string count_text(std::int64_t count);

}  // namespace terse::cli
