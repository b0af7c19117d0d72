#include "terse/methods/prune/pruning_options.h"

#include <charconv>
#include <cmath>
#include <iterator>
#include <utility>

#include "terse/core/error.h"
#include "terse/kernels/feedback.h"

namespace terse {
namespace {

constexpr const char* kUnstructured = "unstructured";

// The number that is all of `text`; 0 when there is none.
std::int64_t whole_number(std::string_view text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end ? value : 0;
}

std::optional<ZeroPattern> parse_structure(const std::string& text) {
  if (text == kUnstructured) return std::nullopt;
  const std::size_t colon = text.find(':');
  if (colon != std::string::npos) {
    const ZeroPattern pattern{whole_number(std::string_view(text).substr(0, colon)),
                              whole_number(std::string_view(text).substr(colon + 1))};
    if (pattern.zeros >= 1 && pattern.zeros < pattern.size &&
        pattern.size <= kernels::kLargestPattern) {
      return pattern;
    }
  }
  throw bad_usage(
      "option structure: expected {} or n:m with 1 <= n < m <= {} (n of every m inputs become "
      "zero, as in 2:4), found '{}'",
      kUnstructured, kernels::kLargestPattern, text);
}

void check_with_pattern(const MethodOptions& options, const ZeroPattern& pattern) {
  const std::string& structure = options.text("structure");
  const double implied = static_cast<double>(pattern.zeros) / static_cast<double>(pattern.size);
  if (options.given("sparsity") && std::abs(options.number("sparsity") - implied) > 1e-9) {
    throw bad_usage("option sparsity: {} contradicts structure {}, which is {}; leave one out",
                    options.number("sparsity"), structure, implied);
  }
  if (options.text("allocation") != "uniform") {
    throw bad_usage(
        "option allocation: {} gives linears different sparsities, but structure {} fixes them; "
        "leave one out",
        options.text("allocation"), structure);
  }
}

// "2, 4": sizes of a pattern that divide a width.
std::string fitting_sizes(std::int64_t width) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = 2; size <= kernels::kLargestPattern; ++size) {
    if (width % size == 0) sizes.push_back(size);
  }
  return fmt::format("{}", fmt::join(sizes, ", "));
}

}  // namespace

std::vector<MethodOption> with_pruning_options(const std::vector<std::string>& more_allocations,
                                               std::vector<MethodOption> more) {
  std::vector<std::string> allocations{"uniform", "owl"};
  allocations.insert(allocations.end(), more_allocations.begin(), more_allocations.end());
  std::vector<MethodOption> options{
      {"sparsity", 0.5, "Share of the weights that become zero", {}, 0, 1},
      {"structure", std::string(kUnstructured),
       "unstructured, or n:m: n of every m consecutive inputs become zero (2:4)"},
      {"allocation", std::string("uniform"), "How linears share the sparsity", allocations, -1e300,
       1e300, true},
      {"owl_lambda",
       0.08,
       "Largest distance of a block from the mean sparsity (allocation owl)",
       {},
       0,
       1,
       true},
      {"owl_m",
       5.0,
       "Outliers are larger than this times their mean (allocation owl)",
       {},
       0,
       1e9,
       true},
  };
  std::move(more.begin(), more.end(), std::back_inserter(options));
  return options;
}

PruningOptions parse_pruning(const MethodOptions& options) {
  PruningOptions pruning{options.number("sparsity"), parse_structure(options.text("structure"))};
  for (const char* name : {"owl_lambda", "owl_m"}) {
    if (options.given(name) && options.text("allocation") != "owl") {
      throw bad_usage("option {}: says nothing without allocation owl", name);
    }
  }
  if (pruning.pattern) {
    check_with_pattern(options, *pruning.pattern);
    pruning.sparsity =
        static_cast<double>(pruning.pattern->zeros) / static_cast<double>(pruning.pattern->size);
  }
  return pruning;
}

void check_pattern(const std::string& name, std::int64_t width, const PruningOptions& pruning) {
  if (!pruning.pattern || width % pruning.pattern->size == 0) return;
  const std::string sizes = fitting_sizes(width);
  throw bad_usage("{}: structure {}:{} does not divide the input width {}; use {}{}", name,
                  pruning.pattern->zeros, pruning.pattern->size, width,
                  sizes.empty() ? "" : fmt::format("an m of {}, or ", sizes), kUnstructured);
}

std::int64_t zero_count(std::int64_t values, double sparsity) {
  return std::llround(static_cast<double>(values) * sparsity);
}

}  // namespace terse
