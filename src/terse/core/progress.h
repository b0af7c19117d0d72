// Progress of long work: told by the engines, shown by the command line.
#pragma once

#include <cstdint>
#include <string_view>

namespace terse {

/// Told how long work is and how far it is. The base class shows nothing.
class Progress {
 public:
  virtual ~Progress() = default;

  /// A new piece of work of `total` units ("tokens", "bytes", "linears") begins.
  virtual void begin(std::string_view /*label*/, std::int64_t /*total*/,
                     std::string_view /*unit*/) {}
  virtual void advance(std::int64_t /*units*/) {}
  /// What to say beside how far it is: "loss 3.21".
  virtual void note(std::string_view /*text*/) {}
  virtual void end() {}
};

}  // namespace terse
