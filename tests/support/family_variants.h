// Variants of every family, as parameters of tests.
#pragma once

#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/random_checkpoint.h"

namespace terse::test {

struct FamilyVariant {
  std::string name;
  RandomCheckpoint checkpoint;
};

inline void PrintTo(const FamilyVariant& variant, std::ostream* out) {
  *out << variant.name;
}

inline std::vector<FamilyVariant> family_variants() {
  std::vector<FamilyVariant> variants;
  for (const auto& [name, checkpoint] : random_checkpoints())
    variants.push_back({name, checkpoint});
  return variants;
}

// The first whose name begins so.
inline RandomCheckpoint family_variant(const std::string& prefix) {
  for (const FamilyVariant& each : family_variants()) {
    if (each.name.starts_with(prefix)) return each.checkpoint;
  }
  throw std::runtime_error("no variant " + prefix);
}

}  // namespace terse::test
