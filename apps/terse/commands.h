// The verbs of the command line: each adds its subcommand to the program.
#pragma once

#include <CLI/CLI.hpp>

namespace terse::cli {

void add_inspect(CLI::App& app);
void add_compress(CLI::App& app);
void add_eval(CLI::App& app);
void add_run(CLI::App& app);
void add_methods(CLI::App& app);
void add_plan(CLI::App& app);
void add_train(CLI::App& app);
void add_merge(CLI::App& app);
void add_importance(CLI::App& app);
void add_search(CLI::App& app);
void add_bench(CLI::App& app);

}  // namespace terse::cli
