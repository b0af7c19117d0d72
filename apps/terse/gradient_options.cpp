#include "gradient_options.h"

#include "terminal.h"

namespace terse::cli {

void add_gradient_options(CLI::App& command, GradientSettings& settings) {
  command.add_flag("--gradient-checkpointing", settings.gradient_checkpointing,
                   "Compute blocks again for their gradients: less memory, more time");
  command.add_option("--loss-rows", settings.loss_rows, "Rows of logits that are held at a time")
      ->check(at_least(1))
      ->capture_default_str();
  command.add_option("--device", settings.device, "Where to compute, as libtorch names it")
      ->capture_default_str();
}

}  // namespace terse::cli
