// What a `lora` step begins with: its options, or the adapter that it goes on from.
#pragma once

#include <map>
#include <string>

#include "terse/core/method_registry.h"
#include "terse/model/adapter.h"

namespace terse {

struct LoraStart {
  /// r, lora_alpha, use_rslora and use_dora: those of the options, or of the adapter.
  PeftConfig config;
  /// By the names of the model's checkpoint; empty where adapters begin fresh.
  std::map<std::string, PeftModule> adapters;
};

/// Errors: bad_usage for options that contradict each other or the adapter; bad_input for an
/// adapter that cannot be read or is of another base.
LoraStart lora_start(const MethodOptions& options, const Model& model);

}  // namespace terse
