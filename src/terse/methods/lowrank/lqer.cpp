// LQER: a weight rounded to nearest, and the low-rank part of what rounding lost in real numbers.
#include <memory>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/matrix_product.h"
#include "terse/methods/lowrank/input_sizes.h"
#include "terse/methods/lowrank/truncated_svd.h"
#include "terse/methods/method.h"
#include "terse/methods/quantize/nearest.h"
#include "terse/methods/quantize/scheme_options.h"
#include "terse/model/weights/low_rank_sum.h"
#include "terse/model/weights/storage.h"

namespace terse {
namespace {

// W = Q + B A, stored as the weight LowRankSum.
class CorrectedResult : public CompoundResult {
 public:
  CorrectedResult(QuantizedMatrix codes, TruncatedSvd correction)
      : codes_(std::move(codes)), correction_(std::move(correction)) {}

  Matrix dense() const override {
    return codes_.dense() + product(correction_.left, correction_.right);
  }

  std::unique_ptr<Weight> weight(const StoreMatrix& /*store*/, DType dtype) override {
    return std::make_unique<LowRankSum>(plain_weight(std::move(codes_)), correction_.right,
                                        correction_.left, dtype);
  }

 private:
  QuantizedMatrix codes_;
  TruncatedSvd correction_;
};

class Lqer : public LinearMethod {
 public:
  Lqer(const MethodOptions& options, const MethodContext& context)
      : scheme_(parse_scheme(options, context)),
        grid_(parse_grid(options, scheme_)),
        rank_(options.integer("rank")),
        scaled_(options.flag("scaled")) {}

  bool quantizes() const override { return true; }
  bool fills_zeros() const override { return true; }

  StatisticsNeeds needs() const override {
    StatisticsNeeds needs = scheme_needs(scheme_);
    needs.norms = needs.norms || scaled_;
    return needs;
  }

  void check(const std::string& name, std::int64_t rows, std::int64_t columns) const override {
    check_width(name, columns, scheme_);
    const std::int64_t full = std::min(rows, columns);
    if (rank_ <= full) return;
    throw bad_usage("{}: rank {} is above the full rank {} of a weight [{}, {}]", name, rank_, full,
                    rows, columns);
  }

  std::uint64_t working_bytes(std::int64_t rows, std::int64_t columns) const override {
    return truncated_svd_bytes(rows, columns);
  }

  LinearResult compress(LinearProblem problem) const override {
    check_weight(problem, scheme_);
    check(problem.name, problem.weight.rows(), problem.weight.cols());
    QuantizedMatrix codes = round_to_nearest(scheme_, grid_, problem.weight);
    set_input_grid(problem, codes);
    return with_context(problem.name, [&]() -> LinearResult {
      ErrorWeights weights;
      if (scaled_) weights.columns = input_sizes(problem.inputs, 1.0);
      TruncatedSvd lost = truncated_svd(problem.weight - codes.dense(), rank_, weights);
      return std::make_shared<CorrectedResult>(std::move(codes), std::move(lost));
    });
  }

 private:
  QuantizationScheme scheme_;
  GridOptions grid_;
  std::int64_t rank_;
  bool scaled_;
};

const LinearMethodRegistration kRegistration(
    {"lqer", "quantize", "Round to nearest, and keep the low-rank part of what that loses",
     "Zhang et al., LQER: Low-Rank Quantization Error Reconstruction for LLMs, ICML 2024 "
     "(arXiv:2402.02446)",
     MethodScope::linear, MethodNeed::nothing,
     with_scheme_options(
         {{"rank", std::int64_t{32}, "Rank of the part that is kept in real numbers", {}, 1, 1e6},
          {"scaled", true,
           "Errors count as their inputs are large (L2QER), which takes calibration text"}})},
    [](const MethodOptions& options, const MethodContext& context) {
      return std::make_unique<Lqer>(options, context);
    });

}  // namespace
}  // namespace terse
