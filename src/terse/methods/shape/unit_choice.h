// Choosing among units.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "terse/model/architecture.h"

namespace terse {

/// The `count` units of the largest scores, ascending; of equal ones the first.
std::vector<std::int64_t> largest(const std::vector<double>& scores, std::int64_t count);

/// `count` of `all` numbers, evenly spread, the first and the last among them.
std::vector<std::int64_t> spread(std::int64_t count, std::int64_t all);

/// Errors: bad_usage, naming the method, where a block has not so many heads or channels, or where
/// the heads do not make whole groups that share keys and values. 0 asks for nothing.
void check_sizes(std::string_view method, const Architecture& a, std::int64_t block,
                 std::int64_t num_attention_heads, std::int64_t intermediate_size);

}  // namespace terse
