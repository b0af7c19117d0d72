// Variants of every family, as parameters of tests.
#pragma once

#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/random_checkpoint.h"

namespace terse::test {

// Weights are made where they are asked for: the parameters of all tests are made before any runs.
struct FamilyVariant {
  std::string name;
  nlohmann::json config;

  RandomCheckpoint checkpoint() const { return random_checkpoint(name, config); }
};

inline void PrintTo(const FamilyVariant& variant, std::ostream* out) {
  *out << variant.name;
}

inline std::vector<FamilyVariant> family_variants() {
  std::vector<FamilyVariant> variants;
  for (const auto& [name, config] : random_configs()) variants.push_back({name, config});
  return variants;
}

// Those without experts, for what cannot work with them.
inline std::vector<FamilyVariant> dense_family_variants() {
  std::vector<FamilyVariant> variants = family_variants();
  std::erase_if(variants, [](const FamilyVariant& variant) {
    return variant.config.contains("num_experts_per_tok");
  });
  return variants;
}

// The first whose name begins so.
inline RandomCheckpoint family_variant(const std::string& prefix) {
  for (const FamilyVariant& each : family_variants()) {
    if (each.name.starts_with(prefix)) return each.checkpoint();
  }
  throw std::runtime_error("no variant " + prefix);
}

}  // namespace terse::test
