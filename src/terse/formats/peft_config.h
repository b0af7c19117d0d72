// adapter_config.json: what PEFT's LoraConfig says of the tensors of an adapter.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"
#include "terse/formats/name_pattern.h"

namespace terse {

/// The keys that say what the tensors mean, in PEFT's words and with its defaults. Others only
/// steered the training or chose the modules, which the tensors name themselves.
struct PeftConfig {
  std::int64_t r = 8;
  double lora_alpha = 8;
  bool use_rslora = false;
  bool use_dora = false;
  bool fan_in_fan_out = false;  ///< The base stores weights as [in, out] (GPT-2's Conv1D).
  /// Names of modules, or ends of names after a dot; or one regular expression for whole names.
  std::vector<std::string> target_modules;
  std::string target_pattern;
  /// By a regular expression that matches the end of a module's name, after a dot. Of several that
  /// match the first counts, in the order of the file, which PEFT sorts by name.
  std::map<std::string, std::int64_t> rank_pattern;
  std::map<std::string, double> alpha_pattern;
  std::string base_model_name_or_path;  ///< Empty where it is not known.
  std::string task_type = "CAUSAL_LM";

  bool operator==(const PeftConfig&) const = default;

  /// The whole file as PEFT writes it for an adapter that is not trained further.
  Json to_json() const;

  /// Errors: bad_input naming the key: another `peft_type`; a value of the wrong type or range; a
  /// key that changes what an adapter is (bias, modules_to_save, megatron_config, …, and every
  /// unknown one) and is neither null, false nor empty; an `init_lora_weights` that changed the
  /// base.
  static PeftConfig parse(const Json& json);
};

/// alpha / r, or alpha / sqrt(r) when rank-stabilised (Kalajdzievski, arXiv 2312.03732).
double lora_scale(double lora_alpha, std::int64_t r, bool use_rslora);

/// The rules of a config for single modules, by the names that they have in the base model.
class PeftModuleRules {
 public:
  /// Errors: bad_input for what is no regular expression.
  explicit PeftModuleRules(const PeftConfig& config);

  std::int64_t r(std::string_view module) const;
  double lora_alpha(std::string_view module) const;

  /// Whether `target_modules` names the module, as one does that is left out.
  bool targets(std::string_view module) const;

 private:
  template <class Value>
  struct Rule {
    NamePattern pattern;
    Value value;
  };

  PeftConfig config_;
  std::vector<Rule<std::int64_t>> ranks_;
  std::vector<Rule<double>> alphas_;
  std::vector<NamePattern> target_pattern_;  // at most one
};

}  // namespace terse
