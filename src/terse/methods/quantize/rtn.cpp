// Round-to-nearest: every weight gets the code of the nearest point of its grid.
#include <memory>

#include "terse/methods/method.h"
#include "terse/methods/quantize/nearest.h"
#include "terse/methods/quantize/scheme_options.h"

namespace terse {
namespace {

class RoundToNearest : public LinearMethod {
 public:
  RoundToNearest(const MethodOptions& options, const MethodContext& context)
      : scheme_(parse_scheme(options, context)), grid_(parse_grid(options, scheme_)) {}

  bool quantizes() const override { return true; }

  StatisticsNeeds needs() const override { return scheme_needs(scheme_); }

  void check(const std::string& name, std::int64_t /*rows*/, std::int64_t columns) const override {
    check_width(name, columns, scheme_);
  }

  LinearResult compress(LinearProblem problem) const override {
    check_weight(problem, scheme_);
    QuantizedMatrix result = round_to_nearest(scheme_, grid_, problem.weight);
    set_input_grid(problem, result);
    return result;
  }

 private:
  QuantizationScheme scheme_;
  GridOptions grid_;
};

const LinearMethodRegistration kRegistration(
    {"rtn", "quantize", "Round every weight to the nearest point of its grid",
     "The baseline of Frantar et al., GPTQ, ICLR 2023 (arXiv:2210.17323), table 1",
     MethodScope::linear, MethodNeed::nothing, with_scheme_options({})},
    make_round_to_nearest);

}  // namespace

std::unique_ptr<LinearMethod> make_round_to_nearest(const MethodOptions& options,
                                                    const MethodContext& context) {
  return std::make_unique<RoundToNearest>(options, context);
}

}  // namespace terse
