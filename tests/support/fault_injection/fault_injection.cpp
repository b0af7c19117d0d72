// A library to be loaded before the C library: lets one of a program's calls that change files go
// wrong. It counts the calls below a directory; what happens at one of them the environment says:
//
//   TERSE_FAULT_UNDER  the directory, without links
//   TERSE_FAULT_LOG    a file to which every call adds a line: its name, then the path
//   TERSE_FAULT_AT     the number of the call, counted from 0
//   TERSE_FAULT_ERROR  the error number of what fails
//   TERSE_FAULT_DELAY  calls that a lie is believed for
//   TERSE_FAULT_NO_EXCHANGE  set: the file system cannot exchange names
//   TERSE_FAULT        kill        SIGKILL instead of the call
//                      kill-after  SIGKILL after it
//                      tear-kill   half of what is to be written, then SIGKILL
//                      lie-kill    half is written and all is reported; SIGKILL some calls later
//                      fail        the call fails
//                      tear-fail   half is written, the next write fails
//                      full        every call that takes space fails from here on
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

enum class Fault { none, kill, kill_after, tear_kill, lie_kill, fail, tear_fail, full };

std::string_view setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

long number(const char* name, long absent) {
  const std::string_view text = setting(name);
  return text.empty() ? absent : std::atol(text.data());
}

Fault fault_named(std::string_view name) {
  if (name == "kill") return Fault::kill;
  if (name == "kill-after") return Fault::kill_after;
  if (name == "tear-kill") return Fault::tear_kill;
  if (name == "lie-kill") return Fault::lie_kill;
  if (name == "fail") return Fault::fail;
  if (name == "tear-fail") return Fault::tear_fail;
  if (name == "full") return Fault::full;
  return Fault::none;
}

struct Settings {
  std::string under{setting("TERSE_FAULT_UNDER")};
  Fault fault = fault_named(setting("TERSE_FAULT"));
  long at = number("TERSE_FAULT_AT", 0);
  int error = static_cast<int>(number("TERSE_FAULT_ERROR", ENOSPC));
  long delay = number("TERSE_FAULT_DELAY", 2);
  bool no_exchange = !setting("TERSE_FAULT_NO_EXCHANGE").empty();
  // Past the functions of this file, which it would enter again.
  int log =
      setting("TERSE_FAULT_LOG").empty()
          ? -1
          : static_cast<int>(::syscall(SYS_openat, AT_FDCWD, setting("TERSE_FAULT_LOG").data(),
                                       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
};

const Settings& settings() {
  static const Settings read;
  return read;
}

std::atomic<long> calls{0};

template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

std::string path_of(int descriptor) {
  std::array<char, PATH_MAX> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  return {path.data(), size < 0 ? 0 : static_cast<std::size_t>(size)};
}

// What kind of call it is: only some take space, only some can be cut in half.
enum class Kind { write, create, other };

// The fault that this call has to commit.
Fault enter(const char* name, const std::string& path, Kind kind) {
  const Settings& s = settings();
  if (s.under.empty() || !path.starts_with(s.under)) return Fault::none;
  const long call = calls++;
  if (s.log >= 0) {
    const std::string line = std::string(name) + " " + path + "\n";
    ::syscall(SYS_write, s.log, line.data(), line.size());
  }
  if (s.fault == Fault::none || call < s.at) return Fault::none;
  if (s.fault == Fault::full) return kind == Kind::other ? Fault::none : Fault::fail;
  if (s.fault == Fault::lie_kill && call >= s.at + s.delay) die();
  if (s.fault == Fault::tear_fail && kind == Kind::write && call > s.at) {
    static std::atomic<bool> failed{false};
    return failed.exchange(true) ? Fault::none : Fault::fail;
  }
  if (call != s.at) return Fault::none;
  if (s.fault == Fault::kill) die();
  const bool tears = s.fault != Fault::kill_after && s.fault != Fault::fail;
  // What cannot be torn fails or ends as a whole.
  if (tears && kind != Kind::write) {
    return s.fault == Fault::tear_kill   ? Fault::kill_after
           : s.fault == Fault::tear_fail ? Fault::fail
                                         : Fault::none;
  }
  return s.fault;
}

int fail() {
  errno = settings().error;
  return -1;
}

template <class Call>
int whole(const char* name, const std::string& path, Kind kind, Call&& call) {
  const Fault fault = enter(name, path, kind);
  if (fault == Fault::fail) return fail();
  const int result = call();
  if (fault == Fault::kill_after) die();
  return result;
}

// `call` writes so many of `size` bytes.
template <class Call>
ssize_t torn(const char* name, int descriptor, std::size_t size, Call&& call) {
  const Fault fault = enter(name, path_of(descriptor), Kind::write);
  if (fault == Fault::none) return call(size);
  if (fault == Fault::fail) return fail();
  const ssize_t result = call(fault == Fault::kill_after ? size : size / 2);
  if (fault == Fault::kill_after || fault == Fault::tear_kill) die();
  return fault == Fault::lie_kill ? static_cast<ssize_t>(size) : result;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  static auto* const next = real<int(const char*, int, ...)>("open");
  if ((flags & O_CREAT) == 0) return next(path, flags);
  return whole("open", path, Kind::create, [&] { return next(path, flags, mode); });
}

int mkostemp(char* pattern, int flags) {
  static auto* const next = real<int(char*, int)>("mkostemp");
  return whole("mkostemp", pattern, Kind::create, [&] { return next(pattern, flags); });
}

int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const next = real<int(const char*, mode_t)>("mkdir");
  return whole("mkdir", path, Kind::create, [&] { return next(path, mode); });
}

ssize_t write(int descriptor, const void* bytes, std::size_t size) {
  static auto* const next = real<ssize_t(int, const void*, std::size_t)>("write");
  return torn("write", descriptor, size,
              [&](std::size_t part) { return next(descriptor, bytes, part); });
}

ssize_t pwrite(int descriptor, const void* bytes, std::size_t size, off_t offset) {
  static auto* const next = real<ssize_t(int, const void*, std::size_t, off_t)>("pwrite");
  return torn("pwrite", descriptor, size,
              [&](std::size_t part) { return next(descriptor, bytes, part, offset); });
}

// Only the loss of power would show whether it was done, and it takes most of a small run's time.
int fsync(int descriptor) {
  return whole("fsync", path_of(descriptor), Kind::other, [] { return 0; });
}

int ftruncate(int descriptor, off_t size) noexcept {
  static auto* const next = real<int(int, off_t)>("ftruncate");
  return whole("ftruncate", path_of(descriptor), Kind::other,
               [&] { return next(descriptor, size); });
}

int rename(const char* from, const char* to) noexcept {
  static auto* const next = real<int(const char*, const char*)>("rename");
  return whole("rename", from, Kind::other, [&] { return next(from, to); });
}

int renameat2(int from_directory, const char* from, int to_directory, const char* to,
              unsigned flags) noexcept {
  if (settings().no_exchange) {
    errno = EINVAL;
    return -1;
  }
  static auto* const next = real<int(int, const char*, int, const char*, unsigned)>("renameat2");
  return whole("renameat2", from, Kind::other,
               [&] { return next(from_directory, from, to_directory, to, flags); });
}

int unlink(const char* path) noexcept {
  static auto* const next = real<int(const char*)>("unlink");
  return whole("unlink", path, Kind::other, [&] { return next(path); });
}

int remove(const char* path) noexcept {
  static auto* const next = real<int(const char*)>("remove");
  return whole("remove", path, Kind::other, [&] { return next(path); });
}

int unlinkat(int directory, const char* path, int flags) noexcept {
  static auto* const next = real<int(int, const char*, int)>("unlinkat");
  const std::string whole_path = *path == '/' ? path : path_of(directory) + "/" + path;
  return whole("unlinkat", whole_path, Kind::other, [&] { return next(directory, path, flags); });
}

}  // extern "C"
