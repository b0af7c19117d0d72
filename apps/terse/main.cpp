// The command line: parses, calls the library, prints. Exit codes: 0 done, 1 failed, 2 wrong usage,
// 3 bad input.
#include <fmt/format.h>

#include <new>

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

int run(int argc, char** argv) {
  CLI::App app(kDescription);
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
  terse::cli::add_eval(app);
  terse::cli::add_run(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version arrive here too, with exit code 0.
    return app.exit(error) == 0 ? 0 : static_cast<int>(terse::ErrorKind::usage);
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
