// How many blocks stay of a model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "terse/core/method_registry.h"
#include "terse/model/kept_units.h"

namespace terse {

/// The share or number of blocks that a method was asked for.
class Depth {
 public:
  /// Reads the options of `depth_options`. Errors: bad_usage when both are given.
  Depth(std::string method, const MethodOptions& options);

  /// Blocks that go. Errors: bad_usage when there are not so many, or none would stay.
  std::int64_t removed(const Architecture& a) const;

 private:
  std::string method_;
  double ratio_;
  std::int64_t num_hidden_layers_;
};

std::vector<MethodOption> depth_options();

/// All blocks but those of `removed`.
std::vector<KeptBlock> all_but(const std::vector<std::int64_t>& removed, const Architecture& a);

}  // namespace terse
