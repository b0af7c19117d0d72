#include "apps/program.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "apps/files.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

void redirect(const std::filesystem::path& path, int flags, int descriptor) {
  const int file = ::open(path.c_str(), flags, 0644);
  if (file < 0 || ::dup2(file, descriptor) < 0) ::_exit(126);
  ::close(file);
}

// In the child: becomes the program, or exits with 126.
[[noreturn]] void become(const std::string& program, const std::vector<std::string>& arguments,
                         const ProgramSetting& setting, const TemporaryDirectory& files) {
  redirect(files / "in", O_RDONLY, STDIN_FILENO);
  redirect(setting.standard_output.empty() ? files / "out" : setting.standard_output,
           O_WRONLY | O_CREAT, STDOUT_FILENO);
  redirect(files / "err", O_WRONLY | O_CREAT, STDERR_FILENO);
  if (!setting.directory.empty() && ::chdir(setting.directory.c_str()) != 0) ::_exit(126);
  if (setting.largest_file > 0) {
    const rlimit limit{setting.largest_file, setting.largest_file};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(126);
  }
  for (const auto& [name, value] : setting.environment) {
    if (::setenv(name.c_str(), value.c_str(), 1) != 0) ::_exit(126);
  }
  std::vector<char*> pointers{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  ::execvp(program.c_str(), pointers.data());
  ::_exit(126);
}

}  // namespace

ProgramResult run_program(const std::string& program, const std::vector<std::string>& arguments,
                          const ProgramSetting& setting) {
  const TemporaryDirectory files;
  write_text(files / "in", setting.input);
  const pid_t child = ::fork();
  if (child == 0) become(program, arguments, setting, files);
  int status = 0;
  ::waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read_text(files / "out"),
          read_text(files / "err")};
}

ProgramResult run_terse(const std::vector<std::string>& arguments, const ProgramSetting& setting) {
  return run_program(TERSE_PROGRAM, arguments, setting);
}

void expect_done(const ProgramResult& result) {
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
}

void expect_refused(const ProgramResult& result, int code, const std::vector<std::string>& parts) {
  EXPECT_EQ(result.code, code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, testing::StartsWith("terse: "));
  EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
  EXPECT_THAT(result.err, testing::EndsWith("\n"));
  for (const std::string& part : parts) EXPECT_THAT(result.err, testing::HasSubstr(part));
}

}  // namespace terse::test
