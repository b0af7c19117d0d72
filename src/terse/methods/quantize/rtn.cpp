// Round-to-nearest: every weight gets the code of the nearest point of its grid.
#include <memory>
#include <utility>

#include "terse/core/threads.h"
#include "terse/methods/method.h"
#include "terse/methods/quantize/grid.h"
#include "terse/methods/quantize/scheme_options.h"

namespace terse {
namespace {

class RoundToNearest : public LinearMethod {
 public:
  RoundToNearest(const MethodOptions& options, const MethodContext& context)
      : scheme_(parse_scheme(options, context)), grid_(parse_grid(options, scheme_)) {}

  StatisticsNeeds needs() const override { return scheme_needs(scheme_); }

  void check(const std::string& name, std::int64_t /*rows*/, std::int64_t columns) const override {
    check_width(name, columns, scheme_);
  }

  LinearResult compress(LinearProblem problem) const override {
    check_weight(problem, scheme_);
    const Matrix& weight = problem.weight;
    QuantizedMatrix result = empty_result(scheme_, weight.rows(), weight.cols());
    set_input_grid(problem, result);
    fit_weight_grids(grid_, weight, result);
    parallel_for(weight.rows(), [&](std::int64_t r) { round_row(weight, r, result); });
    return result;
  }

 private:
  void round_row(const Matrix& weight, std::int64_t r, QuantizedMatrix& result) const {
    const std::int64_t groups = result.scales.cols();
    const std::int64_t size = weight.cols() / groups;
    const std::int64_t grid_row = scheme_.strategy == QuantizationStrategy::tensor ? 0 : r;
    for (std::int64_t g = 0; g < groups; ++g) {
      const float scale = result.scales(grid_row, g);
      const float zero = result.zeros[static_cast<std::size_t>(grid_row * groups + g)];
      const float* values = weight.data() + r * weight.cols() + g * size;
      std::uint8_t* codes = result.codes.data() + r * weight.cols() + g * size;
      for (std::int64_t c = 0; c < size; ++c) {
        codes[c] = static_cast<std::uint8_t>(grid_code(values[c], scale, zero, grid_.top()));
      }
    }
  }

  QuantizationScheme scheme_;
  GridOptions grid_;
};

const LinearMethodRegistration kRegistration(
    {"rtn", "quantize", "Round every weight to the nearest point of its grid",
     "The baseline of Frantar et al., GPTQ, ICLR 2023 (arXiv:2210.17323), table 1",
     MethodScope::linear, MethodNeed::nothing, with_scheme_options({})},
    [](const MethodOptions& options, const MethodContext& context) {
      return std::make_unique<RoundToNearest>(options, context);
    });

}  // namespace
}  // namespace terse
