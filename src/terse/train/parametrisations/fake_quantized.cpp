#include "terse/train/parametrisations/fake_quantized.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/random.h"
#include "terse/methods/quantize/nearest.h"
#include "terse/methods/quantize/scheme_options.h"
#include "terse/model/weights/storage.h"
#include "terse/train/functions/straight_through.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

// Steps from a point of the grid within which values surely get its code.
constexpr double kReach = 0.49;

using ByteMatrix = Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Matrix zeros_of(const QuantizedMatrix& integers) {
  const Eigen::Map<const ByteMatrix> zeros(integers.zeros.data(), integers.scales.rows(),
                                           integers.scales.cols());
  return zeros.cast<float>();
}

void check_scales(const Matrix& scales) {
  for (const float scale : scales.reshaped()) {
    if (!(scale > 0)) throw bad_input("a scale of {}; expected scales above 0", scale);
  }
}

// Values of the same codes, anywhere within the reach of each. At the points of the grid themselves
// every value would be half a step from another code: training would change codes late, all at
// once, or not at all.
Matrix spread(const QuantizedMatrix& integers) {
  Random random(0);
  Matrix values(integers.rows, integers.columns);
  for (std::int64_t r = 0; r < integers.rows; ++r) {
    const std::int64_t scale_row = integers.scales.rows() == 1 ? 0 : r;
    integers.dense_row(r, values.row(r).data());
    for (std::int64_t c = 0; c < integers.columns; ++c) {
      const auto offset = static_cast<float>(kReach * (2 * random.uniform() - 1));
      values(r, c) += integers.scales(scale_row, integers.group_of(c)) * offset;
    }
  }
  return values;
}

// 1 where a weight may change, 0 where it is pruned; undefined where zeros are nothing special.
torch::Tensor kept(const Matrix& weight, bool keep_zeros, const torch::Device& device) {
  return keep_zeros ? (constant(weight, device) != 0).to(torch::kFloat) : torch::Tensor();
}

// The columns, those of one group side by side.
torch::Tensor grouped_order(const QuantizedMatrix& integers, const torch::Device& device) {
  std::vector<std::int64_t> order(integers.g_idx.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::int64_t c) { return integers.group_of(c); });
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::int64_t group = static_cast<std::int64_t>(i) / integers.scheme.group_size;
    if (integers.group_of(order[i]) == group) continue;
    throw bad_input("g_idx: group {} has not {} columns", group, integers.scheme.group_size);
  }
  return torch::tensor(order).to(device);
}

// LSQ, section 2.2: what the gradient of a step is multiplied by that `count` values share, with
// Q_P the highest code, counted from the middle of a symmetric grid.
double gradient_scale(std::int64_t count, int bits, bool symmetric) {
  const int highest = symmetric ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
  return 1.0 / std::sqrt(static_cast<double>(count) * highest);
}

// Adam moves parameters by amounts that do not depend on the size of gradients, so that the aim of
// LSQ's gradient scale, steps that change by the same share of themselves as the weights do, is one
// of learning rates.
double relative_rate(const torch::Tensor& steps, const torch::Tensor& weight) {
  const double size = weight.abs().mean().item<double>();
  return size > 0 ? steps.mean().item<double>() / size : 1.0;
}

class FakeQuantized : public Parametrisation {
 public:
  FakeQuantized(const Matrix& weight, const QuantizedMatrix& integers, torch::Tensor mask,
                const torch::Device& device)
      : scheme_(integers.scheme),
        g_idx_(integers.g_idx),
        input_zero_(integers.input_zero),
        weight_(trained(weight, device)),
        step_(trained(integers.scales, device)),
        zero_(constant(zeros_of(integers), device).unsqueeze(-1)),
        mask_(std::move(mask)),
        step_rate_(relative_rate(step_.detach(), weight_.detach())) {
    if (!g_idx_.empty()) {
      order_ = grouped_order(integers, device);
      place_ = order_.argsort();
    }
    if (has_static_inputs()) {
      input_step_ = trained(Matrix::Constant(1, 1, integers.input_scale), device);
      input_step_rate_ = relative_rate(input_step_.detach(), weight_.detach());
    }
  }

  torch::Tensor weight() const override {
    const torch::Tensor values = grouped_values();
    const double factor =
        gradient_scale(values.numel() / step_.numel(), scheme_.bits, scheme_.symmetric);
    const torch::Tensor step = straight_through(step_, rounded_step(), factor).unsqueeze(-1);
    const torch::Tensor rounded = centred_codes(values.detach()).mul_(step.detach());
    return in_stored_order(on_learned_grid(values, step, rounded));
  }

  torch::Tensor apply(const torch::Tensor& x, const torch::Tensor& bias) const override {
    if (!scheme_.activations) return Parametrisation::apply(x, bias);
    return Parametrisation::apply(
        has_static_inputs() ? on_input_grid(x) : round_inputs(*scheme_.activations, x), bias);
  }

  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> all{{"weight", weight_}, {"weight_step", step_, false, step_rate_}};
    if (input_step_.defined()) all.push_back({"input_step", input_step_, false, input_step_rate_});
    return all;
  }

  std::shared_ptr<Weight> fold(DType /*dtype*/, bool /*transposed*/) const override {
    const torch::NoGradGuard no_grad;
    QuantizedMatrix result;
    result.scheme = scheme_;
    result.rows = weight_.size(0);
    result.columns = weight_.size(1);
    result.codes = to_bytes(in_stored_order(centred_codes(grouped_values()).add_(zero_)));
    result.scales = to_matrix(rounded_step());
    result.zeros = to_bytes(zero_);
    result.g_idx = g_idx_;
    if (has_static_inputs()) result.input_scale = rounded_input_step().item<float>();
    result.input_zero = input_zero_;
    if (mask_.defined()) return smallest_weight(std::move(result));
    return plain_weight(std::move(result));
  }

 private:
  bool has_static_inputs() const { return scheme_.activations && !scheme_.activations->dynamic(); }

  // [out, groups, columns of a group].
  torch::Tensor grouped_values() const {
    const torch::Tensor values = mask_.defined() ? weight_ * mask_ : weight_;
    const torch::Tensor ordered = order_.defined() ? values.index_select(1, order_) : values;
    return ordered.view({values.size(0), step_.size(1), -1});
  }

  torch::Tensor in_stored_order(const torch::Tensor& grouped) const {
    const torch::Tensor ordered = grouped.view(weight_.sizes());
    return place_.defined() ? ordered.index_select(1, place_) : ordered;
  }

  torch::Tensor rounded_step() const { return rounded_scales(scheme_.scale_dtype, step_); }
  torch::Tensor rounded_input_step() const { return rounded_scales(DType::f32, input_step_); }

  // The codes of grouped values less their zero points, as grid_code (grid.h) finds them.
  torch::Tensor centred_codes(const torch::Tensor& values) const {
    return (values / rounded_step().unsqueeze(-1))
        .clamp_(-zero_, scheme_.levels() - 1 - zero_)
        .round_();
  }

  torch::Tensor on_input_grid(const torch::Tensor& x) const {
    const ActivationScheme& inputs = *scheme_.activations;
    const torch::Tensor step =
        straight_through(input_step_, rounded_input_step(),
                         gradient_scale(x.size(-1), inputs.bits, inputs.symmetric));
    return on_learned_grid(x, step, on_static_grid(inputs, x, step, input_zero_));
  }

  QuantizationScheme scheme_;
  std::vector<std::int32_t> g_idx_;
  float input_zero_;
  torch::Tensor weight_;      // [out, in]
  torch::Tensor step_;        // [out, groups]; [1, 1] per tensor
  torch::Tensor zero_;        // [out, groups, 1]; [1, 1, 1] per tensor
  torch::Tensor mask_;        // undefined where zeros may change
  torch::Tensor order_;       // columns by groups, and
  torch::Tensor place_;       // where each lies in that order; undefined without g_idx
  torch::Tensor input_step_;  // [1, 1]; undefined without static inputs
  double step_rate_;
  double input_step_rate_ = 1.0;
};

}  // namespace

std::unique_ptr<Parametrisation> fake_quantized_parametrisation(const Matrix& weight,
                                                                const QuantizationScheme& scheme,
                                                                Clip clip, bool keep_zeros,
                                                                const torch::Device& device) {
  check_width("weight", weight.cols(), scheme);
  if (scheme.activations && !scheme.activations->dynamic()) {
    throw failure("static inputs need the grid of a calibration: begin from integers");
  }
  const GridOptions grid{scheme.bits, scheme.symmetric, clip, scheme.scale_dtype};
  return std::make_unique<FakeQuantized>(weight, round_to_nearest(scheme, grid, weight),
                                         kept(weight, keep_zeros, device), device);
}

std::unique_ptr<Parametrisation> fake_quantized_parametrisation(const QuantizedMatrix& integers,
                                                                bool keep_zeros,
                                                                const torch::Device& device) {
  check_scales(integers.scales);
  return std::make_unique<FakeQuantized>(spread(integers), integers,
                                         kept(integers.dense(), keep_zeros, device), device);
}

}  // namespace terse::train
