// SliceGPT: the residual stream in its principal directions, of which the last are cut off.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "terse/core/error.h"
#include "terse/methods/lowrank/eigenvectors.h"
#include "terse/methods/lowrank/whitening.h"
#include "terse/methods/shape/ratio_of.h"
#include "terse/methods/shape_method.h"

namespace terse {
namespace {

template <class Real>
Matrix principal_directions(const SecondMoments& moments) {
  using ColumnMajor = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;
  const ColumnMajor sums = whole_sums<Real>(moments);
  return largest_eigenvectors<Real>(sums, sums.rows()).vectors.template cast<float>();
}

class SliceGpt : public ShapeMethod {
 public:
  explicit SliceGpt(const MethodOptions& options)
      : ratio_(options.number("ratio")),
        hidden_size_(options.integer("hidden_size")),
        multiple_(options.integer("multiple")) {
    if (hidden_size_ > 0 && gives_ratio(options)) {
      throw bad_usage("slicegpt: ratio and hidden_size both say how much goes; leave one out");
    }
  }

  ShapeNeeds needs() const override { return {.residual = true}; }

  std::vector<KeptBlock> kept(const Architecture& a) const override {
    std::vector<KeptBlock> all;
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) all.push_back({block});
    return all;
  }

  std::optional<std::int64_t> residual_width(const Architecture& a) const override {
    if (hidden_size_ > a.hidden_size) {
      throw bad_usage("slicegpt: hidden_size {}, where the model has {}", hidden_size_,
                      a.hidden_size);
    }
    return hidden_size_ > 0 ? hidden_size_ : width_for_ratio(a);
  }

  Matrix directions(const SecondMoments& normed) const override {
    return normed.columns() < kFloat32From ? principal_directions<double>(normed)
                                           : principal_directions<float>(normed);
  }

 private:
  // Of a share f of the width there are f of a block's parameters and 2 f^2 d^2 of its shortcuts.
  std::int64_t width_for_ratio(const Architecture& a) const {
    double linears = 0;
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      for (const LinearRole role : a.roles(block)) {
        linears += static_cast<double>(a.out_features(block, role) * a.in_features(block, role));
      }
    }
    const auto hidden = static_cast<double>(a.hidden_size);
    const double square = 2 * hidden * hidden * static_cast<double>(a.num_hidden_layers) / linears;
    const double f = (std::sqrt(1 + 4 * square * (1 - ratio_)) - 1) / (2 * square);
    const auto steps = static_cast<std::int64_t>(f * hidden / static_cast<double>(multiple_));
    if (steps >= 1) return std::min(steps * multiple_, a.hidden_size);
    throw bad_usage(
        "slicegpt: without {} of the parameters {:.1f} of {} hidden values would stay, less than "
        "the multiple {}",
        ratio_, f * hidden, a.hidden_size, multiple_);
  }

  double ratio_;
  std::int64_t hidden_size_;
  std::int64_t multiple_;
};

const ShapeMethodRegistration registration(
    {"slicegpt",
     "shape",
     "Rotate the residual stream into its principal directions and cut off the last ones",
     "Ashkboos, Croci, do Nascimento, Hoefler, Hensman: SliceGPT: Compress Large Language Models "
     "by "
     "Deleting Rows and Columns, ICLR 2024 (arXiv:2401.15024)",
     MethodScope::model,
     MethodNeed::input_second_moments,
     {{"ratio",
       0.2,
       "Share of the parameters of the blocks' linears that goes, shortcuts counted",
       {},
       0,
       1,
       true},
      ratio_of_option("parameters"),
      {"hidden_size",
       std::int64_t{0},
       "In place of the ratio: values of the residual stream that stay",
       {},
       0,
       1e9,
       true},
      {"multiple",
       std::int64_t{8},
       "What the values that stay are rounded down to a multiple of",
       {},
       1,
       1e9,
       true}}},
    [](const MethodOptions& options) { return std::make_unique<SliceGpt>(options); });

}  // namespace
}  // namespace terse
