// Options of verbs that compute gradients.
#pragma once

#include <CLI/CLI.hpp>

#include "terse/methods/training.h"

namespace terse::cli {

/// `--gradient-checkpointing`, `--loss-rows` and `--device`.
void add_gradient_options(CLI::App& command, GradientSettings& settings);

}  // namespace terse::cli
