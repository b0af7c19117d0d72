#include "terse/methods/learn/divergence_kind.h"

#include <array>
#include <utility>

#include "terse/core/error.h"

namespace terse {
namespace {

constexpr std::array<std::pair<std::string_view, DivergenceKind>, 5> kKinds{{
    {"forward_kl", DivergenceKind::forward_kl},
    {"reverse_kl", DivergenceKind::reverse_kl},
    {"jensen_shannon", DivergenceKind::jensen_shannon},
    {"skewed_kl", DivergenceKind::skewed_kl},
    {"skewed_reverse_kl", DivergenceKind::skewed_reverse_kl},
}};

}  // namespace

std::vector<std::string> divergence_names() {
  std::vector<std::string> names;
  names.reserve(kKinds.size());
  for (const auto& [name, kind] : kKinds) names.emplace_back(name);
  return names;
}

DivergenceKind parse_divergence(std::string_view name) {
  for (const auto& [known, kind] : kKinds) {
    if (name == known) return kind;
  }
  throw bad_usage("'{}' is no divergence", name);
}

}  // namespace terse
