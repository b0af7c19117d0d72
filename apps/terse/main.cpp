#include <CLI/CLI.hpp>

#include "terse/core/version.h"

int main(int argc, char** argv) {
  CLI::App app("terse makes language models small and keeps them good.");
  app.set_version_flag("--version", std::string(terse::version()));
  CLI11_PARSE(app, argc, argv);
  return 0;
}
