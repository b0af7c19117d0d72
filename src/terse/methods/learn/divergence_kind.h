// Which divergences there are between what a teacher and a student predict, known without libtorch.
// Their formulas are in train/losses/divergence.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace terse {

/// Which divergence of the student's distribution q from the teacher's p is minimised.
enum class DivergenceKind {
  forward_kl,        ///< KL(p || q) (Hinton et al., arXiv 1503.02531)
  reverse_kl,        ///< KL(q || p) (Gu et al., MiniLLM, arXiv 2306.08543)
  jensen_shannon,    ///< a KL(p || m) + (1 - a) KL(q || m), m = a p + (1 - a) q (arXiv 2306.13649)
  skewed_kl,         ///< KL(p || a p + (1 - a) q) (Ko et al., DistiLLM, arXiv 2402.03898)
  skewed_reverse_kl  ///< KL(q || a q + (1 - a) p) (the same)
};

/// "forward_kl" and so on, all of them.
std::vector<std::string> divergence_names();

/// Errors: bad_usage.
DivergenceKind parse_divergence(std::string_view name);

}  // namespace terse
