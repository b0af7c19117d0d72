#include "terse/methods/learn/lora_start.h"

#include "terse/core/error.h"

namespace terse {
namespace {

void require_equal(const MethodOptions& options, const std::string& name, const OptionValue& given,
                   const OptionValue& found, const std::string& module = "") {
  if (!options.given(name) || given == found) return;
  throw bad_usage("{} is {}, but the adapter has {}{}; leave {} out", name, option_text(given),
                  option_text(found), module.empty() ? "" : " for " + module, name);
}

void check_against(const MethodOptions& options, const LoraStart& start) {
  require_equal(options, "use_rslora", options.flag("use_rslora"), start.config.use_rslora);
  require_equal(options, "use_dora", options.flag("use_dora"), start.config.use_dora);
  for (const auto& [module, adapter] : start.adapters) {
    require_equal(options, "r", options.integer("r"), adapter.r(), module);
    require_equal(options, "lora_alpha", options.number("lora_alpha"), adapter.lora_alpha, module);
  }
}

void check_initialisation(const MethodOptions& options) {
  const bool loftq = options.text("init_lora_weights") == "loftq";
  if (!loftq) {
    if (options.integer("loftq_iter") == 1) return;
    throw bad_usage("loftq_iter is for init_lora_weights: loftq");
  }
  if (!options.text("adapter").empty()) {
    throw bad_usage("init_lora_weights: loftq and adapter are two ways to begin; choose one");
  }
  if (options.number("lora_alpha") == 0) {
    throw bad_usage("init_lora_weights: loftq needs a lora_alpha above 0");
  }
  if (options.integer("loftq_iter") > 1 && options.flag("save_adapter")) {
    throw bad_usage(
        "save_adapter: with loftq_iter above 1 the adapter is for integers that the output alone "
        "holds; use loftq_iter: 1");
  }
}

}  // namespace

LoraStart lora_start(const MethodOptions& options, const Model& model) {
  check_initialisation(options);
  LoraStart start;
  const std::string& folder = options.text("adapter");
  if (folder.empty()) {
    start.config.r = options.integer("r");
    start.config.lora_alpha = options.number("lora_alpha");
    start.config.use_rslora = options.flag("use_rslora");
    start.config.use_dora = options.flag("use_dora");
    return start;
  }
  with_context("adapter " + folder, [&] {
    const PeftAdapter adapter = read_peft_adapter(folder);
    start = {adapter.config, fit_adapter(model, adapter)};
    check_against(options, start);
    if (start.adapters.contains(model.head_module())) {
      throw bad_input(
          "{}: a step trains linears of blocks alone; merge this adapter with 'terse merge'",
          model.head_module());
    }
  });
  return start;
}

}  // namespace terse
