#include "apps/terminal_program.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <array>
#include <chrono>
#include <csignal>
#include <utility>

namespace terse::test {
namespace {

void show_as_written(int terminal) {
  termios settings = {};
  ::tcgetattr(terminal, &settings);
  settings.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  settings.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  ::tcsetattr(terminal, TCSANOW, &settings);
}

[[noreturn]] void become_terse(const std::vector<std::string>& arguments) {
  std::vector<char*> pointers{const_cast<char*>(TERSE_PROGRAM)};
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  ::execv(TERSE_PROGRAM, pointers.data());
  ::_exit(126);
}

}  // namespace

TerminalProgram::TerminalProgram(const std::vector<std::string>& arguments) {
  int inside = -1;
  if (::openpty(&terminal_, &inside, nullptr, nullptr, nullptr) != 0) {
    ADD_FAILURE() << "no pseudo-terminal";
    return;
  }
  show_as_written(inside);
  child_ = ::fork();
  if (child_ == 0) {
    ::close(terminal_);
    if (::login_tty(inside) != 0) ::_exit(126);
    become_terse(arguments);
  }
  ::close(inside);
}

TerminalProgram::~TerminalProgram() {
  if (child_ > 0) {
    kill();
    ::waitpid(child_, nullptr, 0);
  }
  ::close(terminal_);
}

void TerminalProgram::type(const std::string& text) const {
  EXPECT_EQ(::write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

std::string TerminalProgram::read_until(const std::string& end) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  std::size_t at = std::string::npos;
  while ((at = read_.find(end)) == std::string::npos) {
    pollfd ready{terminal_, POLLIN, 0};
    const bool late = std::chrono::steady_clock::now() > deadline;
    std::array<char, 4096> buffer{};
    ssize_t count = 0;
    if (!late && ::poll(&ready, 1, 1000) == 1) {
      count = ::read(terminal_, buffer.data(), buffer.size());
    } else if (!late) {
      continue;
    }
    if (count <= 0) {
      ADD_FAILURE() << "'" << end << "' did not come; this did: '" << read_ << "'";
      return std::exchange(read_, "");
    }
    read_.append(buffer.data(), static_cast<std::size_t>(count));
  }
  std::string before = read_.substr(0, at);
  read_.erase(0, at + end.size());
  return before;
}

void TerminalProgram::kill() const {
  ::kill(child_, SIGKILL);
}

int TerminalProgram::wait() {
  int status = 0;
  ::waitpid(child_, &status, 0);
  child_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace terse::test
