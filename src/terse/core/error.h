// The one exception type of the project, with a chain of context.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace terse {

/// Why something ended; the numbers are the exit codes of the command line.
enum class ErrorKind { failed = 1, usage = 2, bad_input = 3 };

/// `text` with control characters as \x0a: names in files that nobody vouches for may hold line
/// ends, terminal commands and NUL.
std::string one_line(std::string_view text);

/// An error that a person can act on: one line that names the file, tensor or option, what was
/// found, what was expected and what to do. Callers prepend context while it passes them.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string_view message) : kind_(kind), message_(one_line(message)) {}

  const char* what() const noexcept override { return message_.c_str(); }
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

  /// Prepends "context: " to the message.
  void add_context(std::string_view context) {
    message_ = fmt::format("{}: {}", one_line(context), message_);
  }

 private:
  ErrorKind kind_;
  std::string message_;
};

/// The input (a file, its contents) is wrong. Exit code 3.
template <class... Args>
Error bad_input(fmt::format_string<Args...> format, Args&&... args) {
  return {ErrorKind::bad_input, fmt::format(format, std::forward<Args>(args)...)};
}

/// An option or a combination of options is wrong. Exit code 2.
template <class... Args>
Error bad_usage(fmt::format_string<Args...> format, Args&&... args) {
  return {ErrorKind::usage, fmt::format(format, std::forward<Args>(args)...)};
}

/// Something else went wrong (disk full, out of memory, numbers that are not finite). Exit code 1.
template <class... Args>
Error failure(fmt::format_string<Args...> format, Args&&... args) {
  return {ErrorKind::failed, fmt::format(format, std::forward<Args>(args)...)};
}

/// Runs `body` and prepends `context` to any Error that leaves it.
template <class Body>
auto with_context(std::string_view context, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (Error& error) {
    error.add_context(context);
    throw;
  }
}

}  // namespace terse
