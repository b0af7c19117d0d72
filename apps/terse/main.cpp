// The command line: parses, calls the library, prints. Exit codes: 0 done, 1 failed, 2 wrong usage,
// 3 bad input.
#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <new>
#include <system_error>

#include "commands.h"
#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/core/version.h"

namespace {

constexpr const char* kDescription =
    "terse makes language models small and keeps them good.\n\n"
    "Examples:\n"
    "  terse inspect models/docs-llama\n"
    "  terse compress models/docs-llama -o small --method gptq --bits 4 --group-size 128\n"
    "  terse eval perplexity small --text notes.txt\n"
    "  terse run small --prompt \"The command\"";

// One line about what CLI11 found wrong, and where to read more.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* verb = &app;
  std::string path = app.get_name();
  while (!verb->get_subcommands().empty()) {
    verb = verb->get_subcommands().front();
    path += " " + verb->get_name();
  }
  std::vector<std::string> verbs;
  for (const CLI::App* known : verb->get_subcommands({})) verbs.push_back(known->get_name());
  std::string found = error.what();
  if (!verbs.empty() && error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError)) {
    const std::vector<std::string> words = app.remaining(true);
    found = fmt::format("{}; expected one of {}",
                        words.empty() ? "the verb is missing" : "unknown verb '" + words[0] + "'",
                        fmt::join(verbs, ", "));
  }
  return fmt::format("{}; see {} --help", found, path);
}

int run(int argc, char** argv) {
  CLI::App app(kDescription, "terse");
  app.set_version_flag("--version", "terse " + std::string(terse::version()));
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option_function<int>(
         "--threads", [](int count) { terse::set_thread_count(count); },
         "Threads to use (default: all cores)")
      ->check(CLI::Range(1, 1024))
      ->trigger_on_parse();
  terse::cli::add_inspect(app);
  terse::cli::add_compress(app);
  terse::cli::add_plan(app);
  terse::cli::add_train(app);
  terse::cli::add_merge(app);
  terse::cli::add_importance(app);
  terse::cli::add_search(app);
  terse::cli::add_eval(app);
  terse::cli::add_bench(app);
  terse::cli::add_run(app);
  terse::cli::add_methods(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version arrive here too.
    if (error.get_exit_code() != static_cast<int>(CLI::ExitCodes::Success)) {
      throw terse::bad_usage("{}", usage_message(app, error));
    }
    app.exit(error);
  }
  if (std::fflush(stdout) != 0) {
    throw terse::failure("standard output: cannot write: {}",
                         std::generic_category().message(errno));
  }
  return 0;
}

int report(std::string_view message, int code) {
  fmt::print(stderr, "terse: {}\n", message);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const int failed = static_cast<int>(terse::ErrorKind::failed);
  // A file that grows beyond the user's limit is then an error of the write that we report.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    terse::check_blas();
    return run(argc, argv);
  } catch (const terse::Error& error) {
    return report(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return report("out of memory; use a smaller window or fewer samples", failed);
  } catch (const std::exception& error) {
    return report(error.what(), failed);
  }
}
