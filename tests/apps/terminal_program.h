// The program at a terminal of its own, as a person uses it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace terse::test {

class TerminalProgram {
 public:
  // Starts `terse` with a pseudo-terminal as input and outputs. The terminal shows what the program
  // writes as it is, and nothing of what is typed.
  explicit TerminalProgram(const std::vector<std::string>& arguments);
  // Kills the program if it still runs.
  ~TerminalProgram();
  TerminalProgram(const TerminalProgram&) = delete;
  TerminalProgram& operator=(const TerminalProgram&) = delete;

  void type(const std::string& text) const;

  // What the program writes up to `end`, which must come within a minute; without `end`.
  std::string read_until(const std::string& end);

  void kill() const;

  // Waits for its end: the exit code, or minus the signal that ended it.
  int wait();

 private:
  int terminal_ = -1;
  pid_t child_ = -1;
  std::string read_;
};

}  // namespace terse::test
