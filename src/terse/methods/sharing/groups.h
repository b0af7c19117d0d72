// Which blocks of a model are tied together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace terse {

/// For every block the first one of its group, with `groups` groups of `blocks` blocks (Takase and
/// Kiyono, arXiv 2104.06022, figure 1): `sequence` ties neighbours, in groups that differ by one
/// block at most; `cycle` every so manieth; `cycle_reversed` likewise, but the last round in
/// reversed order. 1 <= groups <= blocks.
std::vector<std::int64_t> tied_blocks(const std::string& order, std::int64_t blocks,
                                      std::int64_t groups);

}  // namespace terse
