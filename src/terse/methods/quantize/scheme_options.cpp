#include "terse/methods/quantize/scheme_options.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/linear_checks.h"
#include "terse/model/activation_grid.h"

namespace terse {
namespace {

QuantizationStrategy parse_strategy(const std::string& text) {
  if (text == "tensor") return QuantizationStrategy::tensor;
  return text == "channel" ? QuantizationStrategy::channel : QuantizationStrategy::group;
}

DType parse_scale_dtype(const std::string& text, DType model_dtype) {
  const DType dtype = text == "model" ? model_dtype : *parse_dtype(text);
  return dtype == DType::f16 || dtype == DType::bf16 ? dtype : DType::f32;
}

std::optional<ActivationScheme> parse_activations(const MethodOptions& options) {
  const std::string& text = options.text("activations");
  if (text == "none") {
    for (const char* option : {"activation_bits", "activation_symmetric"}) {
      if (!options.given(option)) continue;
      throw bad_usage("option {}: says nothing with activations none; leave it out", option);
    }
    return std::nullopt;
  }
  return ActivationScheme{
      static_cast<int>(options.integer("activation_bits")), options.flag("activation_symmetric"),
      text == "dynamic" ? ActivationStrategy::token : ActivationStrategy::tensor};
}

// The divisor of `width` nearest to `size` from below, and from above (`width` itself divides).
std::pair<std::int64_t, std::int64_t> nearest_divisors(std::int64_t width, std::int64_t size) {
  std::int64_t below = std::min(size, width);
  while (width % below != 0) --below;
  std::int64_t above = std::min(size, width);
  while (width % above != 0) ++above;
  return {below, above};
}

}  // namespace

std::vector<MethodOption> with_scheme_options(std::vector<MethodOption> more) {
  std::vector<MethodOption> options{
      {"bits", std::int64_t{4}, "Bits of a code", {}, 2, 8},
      {"strategy", std::string("group"), "What shares a scale", {"group", "channel", "tensor"}},
      {"group_size", std::int64_t{128}, "Inputs that share a scale (strategy group)", {}, 1, 1e9},
      {"symmetric", false, "Grids around zero: no zero points are stored"},
      {"clip",
       std::string("minmax"),
       "Range of a grid: all values, or the range of least error",
       {"minmax", "mse"}},
      {"scale_dtype",
       std::string("model"),
       "Type that scales are rounded to and stored in",
       {"model", "float16", "bfloat16", "float32"}},
      {"activations",
       std::string("none"),
       "Rounding of the inputs: none, a scale for each token, or one scale from calibration",
       {"none", "dynamic", "static"}},
      {"activation_bits", std::int64_t{8}, "Bits of a rounded input", {}, 2, 8},
      {"activation_symmetric", true, "Grids of inputs around zero"},
  };
  std::move(more.begin(), more.end(), std::back_inserter(options));
  return options;
}

QuantizationScheme parse_scheme(const MethodOptions& options, const MethodContext& context) {
  QuantizationScheme scheme;
  scheme.bits = static_cast<int>(options.integer("bits"));
  scheme.symmetric = options.flag("symmetric");
  scheme.strategy = parse_strategy(options.text("strategy"));
  scheme.group_size = options.integer("group_size");
  if (scheme.strategy != QuantizationStrategy::group && options.given("group_size")) {
    throw bad_usage("option group_size: says nothing with strategy {}; leave one of them out",
                    options.text("strategy"));
  }
  scheme.scale_dtype = parse_scale_dtype(options.text("scale_dtype"), context.model_dtype);
  scheme.activations = parse_activations(options);
  return scheme;
}

StatisticsNeeds scheme_needs(const QuantizationScheme& scheme) {
  return {.ranges = scheme.activations && !scheme.activations->dynamic()};
}

void set_input_grid(const LinearProblem& problem, QuantizedMatrix& result) {
  const StatisticsNeeds needs = scheme_needs(result.scheme);
  if (!needs.ranges) return;
  const InputStatistics* inputs = problem.inputs;
  if (inputs == nullptr || !inputs->needs().ranges) {
    throw failure("{}: static activations need the ranges of the inputs", problem.name);
  }
  float minimum = 0.0F;
  float maximum = 0.0F;
  for (std::int64_t c = 0; c < inputs->columns(); ++c) {
    if (!std::isfinite(inputs->minimum(c)) || !std::isfinite(inputs->maximum(c))) {
      throw bad_input("{}: input {} is not finite", problem.name, c);
    }
    minimum = std::min(minimum, inputs->minimum(c));
    maximum = std::max(maximum, inputs->maximum(c));
  }
  const ActivationGrid grid = activation_grid(*result.scheme.activations, minimum, maximum);
  result.input_scale = grid.scale;
  result.input_zero = grid.zero;
}

GridOptions parse_grid(const MethodOptions& options, const QuantizationScheme& scheme) {
  return {scheme.bits, scheme.symmetric, options.text("clip") == "mse" ? Clip::mse : Clip::minmax,
          scheme.scale_dtype};
}

void check_width(const std::string& name, std::int64_t width, const QuantizationScheme& scheme) {
  if (scheme.strategy != QuantizationStrategy::group || width % scheme.group_size == 0) return;
  const auto [below, above] = nearest_divisors(width, scheme.group_size);
  const std::string advice =
      below == above ? fmt::format("{}", below) : fmt::format("{} or {}", below, above);
  throw bad_usage("{}: group_size {} does not divide the input width {}; use {}", name,
                  scheme.group_size, width, advice);
}

void check_weight(const LinearProblem& problem, const QuantizationScheme& scheme) {
  check_width(problem.name, problem.weight.cols(), scheme);
  check_values(problem);
}

QuantizedMatrix empty_result(const QuantizationScheme& scheme, std::int64_t rows,
                             std::int64_t columns) {
  const bool whole = scheme.strategy == QuantizationStrategy::tensor;
  QuantizedMatrix result;
  result.scheme = scheme;
  result.rows = rows;
  result.columns = columns;
  result.codes.resize(static_cast<std::size_t>(rows * columns));
  result.scales.resize(whole ? 1 : rows, scheme.groups(columns));
  result.zeros.resize(static_cast<std::size_t>(result.scales.size()));
  return result;
}

}  // namespace terse
