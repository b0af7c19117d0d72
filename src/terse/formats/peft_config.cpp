#include "terse/formats/peft_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "terse/core/error.h"

namespace terse {
namespace {

// Larger ones belong to no adapter, and sizes are computed from them.
constexpr std::int64_t kMaxRank = 1 << 20;

// Keys that say nothing about what stored tensors mean: where they come from, how they were trained
// and begun, which modules were chosen, and where PEFT computes.
constexpr std::array<std::string_view, 21> kWithoutMeaning{"auto_mapping",
                                                           "base_model_name_or_path",
                                                           "revision",
                                                           "task_type",
                                                           "inference_mode",
                                                           "peft_version",
                                                           "peft_type",
                                                           "lora_dropout",
                                                           "layers_to_transform",
                                                           "layers_pattern",
                                                           "exclude_modules",
                                                           "loftq_config",
                                                           "eva_config",
                                                           "corda_config",
                                                           "lora_ga_config",
                                                           "runtime_config",
                                                           "megatron_core",
                                                           "qalora_group_size",
                                                           "init_lora_weights",
                                                           "target_modules",
                                                           "lora_alpha"};
constexpr std::array<std::string_view, 6> kRead{
    "r", "use_rslora", "use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern"};

bool is_unset(const Json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value == "none" || value == "";
  return value.is_null() || (value.is_structured() && value.empty());
}

void refuse_unsupported(const Json& json) {
  for (const auto& [key, value] : json.items()) {
    if (std::ranges::find(kWithoutMeaning, key) != kWithoutMeaning.end() ||
        std::ranges::find(kRead, key) != kRead.end() || is_unset(value)) {
      continue;
    }
    throw bad_input(
        "key '{}' is {}, which is not supported; only plain LoRA and DoRA of linears are", key,
        value.dump());
  }
}

// Some ways to begin take what the adapter holds out of the base: it fits that other base only.
void refuse_changed_base(const Json& json) {
  if (!has_key(json, "init_lora_weights") || json.at("init_lora_weights").is_boolean()) return;
  const std::string init = get_string(json, "init_lora_weights");
  if (init == "gaussian" || init == "eva" || init == "orthogonal") return;
  throw bad_input(
      "key 'init_lora_weights': '{}' changes the base that the adapter is for; convert it to plain "
      "LoRA first (PEFT: save_pretrained with path_initial_model_for_weight_conversion)",
      init);
}

void read_targets(const Json& json, PeftConfig& config) {
  if (!has_key(json, "target_modules")) return;
  if (json.at("target_modules").is_string()) {
    config.target_pattern = get_string(json, "target_modules");
    return;
  }
  for (const Json& name : get_array(json, "target_modules")) {
    if (!name.is_string()) {
      throw bad_input("key 'target_modules': found {}; expected names", name.dump());
    }
    config.target_modules.push_back(name.get<std::string>());
  }
}

std::int64_t checked_rank(std::string_view key, std::int64_t r) {
  if (r < 1 || r > kMaxRank) throw bad_input("key '{}': {} is not 1 to {}", key, r, kMaxRank);
  return r;
}

double checked_alpha(std::string_view key, double alpha) {
  if (!std::isfinite(alpha)) throw bad_input("key '{}': is not finite", key);
  return alpha;
}

// As PEFT writes integers where they are.
Json number(double value) {
  constexpr double kExact = 1e15;
  if (std::abs(value) < kExact && value == std::floor(value)) {
    return static_cast<std::int64_t>(value);
  }
  return value;
}

// PEFT: re.match(rf"(.*\.)?({key})$", name).
NamePattern end_of_name(const std::string& key) {
  return with_context(fmt::format("pattern '{}'", key), [&] {
    return NamePattern("(?:.*\\.)?(?:" + key + ")\\z", NamePattern::Anchor::start);
  });
}

template <class Rules, class Value>
Value first_match(const Rules& rules, std::string_view module, Value otherwise) {
  const auto found =
      std::ranges::find_if(rules, [&](const auto& rule) { return rule.pattern.matches(module); });
  return found == rules.end() ? otherwise : found->value;
}

}  // namespace

double lora_scale(double lora_alpha, std::int64_t r, bool use_rslora) {
  const auto rank = static_cast<double>(r);
  return lora_alpha / (use_rslora ? std::sqrt(rank) : rank);
}

Json PeftConfig::to_json() const {
  Json alphas = Json::object();
  for (const auto& [key, alpha] : alpha_pattern) alphas[key] = number(alpha);
  return {{"peft_type", "LORA"},
          {"task_type", task_type.empty() ? Json() : Json(task_type)},
          {"base_model_name_or_path",
           base_model_name_or_path.empty() ? Json() : Json(base_model_name_or_path)},
          {"inference_mode", true},
          {"r", r},
          {"lora_alpha", number(lora_alpha)},
          {"lora_dropout", 0.0},
          {"use_rslora", use_rslora},
          {"use_dora", use_dora},
          {"fan_in_fan_out", fan_in_fan_out},
          {"target_modules", target_pattern.empty() ? Json(target_modules) : Json(target_pattern)},
          {"rank_pattern", rank_pattern},
          {"alpha_pattern", std::move(alphas)},
          {"bias", "none"},
          {"modules_to_save", nullptr},
          {"init_lora_weights", true}};
}

PeftConfig PeftConfig::parse(const Json& json) {
  if (!json.is_object()) throw bad_input("expected an object");
  const std::string type = get_string(json, "peft_type");
  if (type != "LORA") {
    throw bad_input("key 'peft_type': '{}' is not supported; expected LORA", type);
  }
  refuse_unsupported(json);
  refuse_changed_base(json);
  PeftConfig config;
  config.r = checked_rank("r", get_integer(json, "r", config.r));
  config.lora_alpha =
      checked_alpha("lora_alpha", get_number(json, "lora_alpha", config.lora_alpha));
  config.use_rslora = get_bool(json, "use_rslora", false);
  config.use_dora = get_bool(json, "use_dora", false);
  config.fan_in_fan_out = get_bool(json, "fan_in_fan_out", false);
  config.base_model_name_or_path = get_string(json, "base_model_name_or_path", "");
  config.task_type = get_string(json, "task_type", "");
  read_targets(json, config);
  if (has_key(json, "rank_pattern")) {
    const Json& ranks = get_object(json, "rank_pattern");
    for (const auto& entry : ranks.items()) {
      config.rank_pattern[entry.key()] =
          checked_rank("rank_pattern", get_integer(ranks, entry.key()));
    }
  }
  if (has_key(json, "alpha_pattern")) {
    const Json& alphas = get_object(json, "alpha_pattern");
    for (const auto& entry : alphas.items()) {
      config.alpha_pattern[entry.key()] =
          checked_alpha("alpha_pattern", get_number(alphas, entry.key()));
    }
  }
  return config;
}

PeftModuleRules::PeftModuleRules(const PeftConfig& config) : config_(config) {
  for (const auto& [key, r] : config.rank_pattern) ranks_.push_back({end_of_name(key), r});
  for (const auto& [key, alpha] : config.alpha_pattern)
    alphas_.push_back({end_of_name(key), alpha});
  // PEFT's word for every linear but the head.
  if (config.target_pattern.empty() || config.target_pattern == "all-linear") return;
  target_pattern_.push_back(with_context("key 'target_modules'", [&] {
    return NamePattern("(?:" + config.target_pattern + ")\\z", NamePattern::Anchor::start);
  }));
}

std::int64_t PeftModuleRules::r(std::string_view module) const {
  return first_match(ranks_, module, config_.r);
}

double PeftModuleRules::lora_alpha(std::string_view module) const {
  return first_match(alphas_, module, config_.lora_alpha);
}

bool PeftModuleRules::targets(std::string_view module) const {
  if (!target_pattern_.empty()) return target_pattern_.front().matches(module);
  if (!config_.target_pattern.empty() || config_.target_modules.empty()) return true;
  return std::ranges::any_of(config_.target_modules, [&](const std::string& name) {
    return module == name || module.ends_with("." + name);
  });
}

}  // namespace terse
