#include "terse/methods/shape/unit_choice.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "terse/core/error.h"
#include "terse/model/kept_units.h"

namespace terse {

std::vector<std::int64_t> largest(const std::vector<double>& scores, std::int64_t count) {
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater(), [&](std::int64_t unit) {
    return scores[static_cast<std::size_t>(unit)];
  });
  order.resize(static_cast<std::size_t>(count));
  std::ranges::sort(order);
  return order;
}

std::vector<std::int64_t> spread(std::int64_t count, std::int64_t all) {
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < count; ++i) {
    const double share = count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0;
    chosen.push_back(std::lrint(share * static_cast<double>(all - 1)));
  }
  return chosen;
}

void check_sizes(std::string_view method, const Architecture& a, std::int64_t block,
                 std::int64_t num_attention_heads, std::int64_t intermediate_size) {
  const BlockShape shape = a.shape(block);
  const auto check = [&](const char* name, std::int64_t asked, std::int64_t there) {
    if (asked <= there) return;
    throw bad_usage("{}: {} {}, where block {} has {}", method, name, asked, block, there);
  };
  check("num_attention_heads", num_attention_heads, shape.num_attention_heads);
  check("intermediate_size", intermediate_size, shape.intermediate_size);
  if (num_attention_heads == 0) return;
  const std::int64_t together = queries_per_key_value_head(a, block);
  if (num_attention_heads % together == 0) return;
  throw bad_usage(
      "{}: num_attention_heads {}, but {} heads share keys and values; expected a multiple", method,
      num_attention_heads, together);
}

}  // namespace terse
