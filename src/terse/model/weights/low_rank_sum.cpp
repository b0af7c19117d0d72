#include "terse/model/weights/low_rank_sum.h"

#include <map>
#include <utility>

#include "terse/core/error.h"
#include "terse/formats/compressed_tensors.h"
#include "terse/formats/terse_config.h"
#include "terse/model/weights/group_quantized.h"

namespace terse {
namespace {

constexpr const char* kA = ".low_rank_a";
constexpr const char* kB = ".low_rank_b";

class LowRankSumFormat : public WeightFormat {
 public:
  explicit LowRankSumFormat(const TerseConfig& config) {
    for (const StorageGroup& group : config.groups) {
      if (group.layout != LowRankSum::kLayout) continue;
      const QuantizationScheme scheme = with_context("terse_config", [&] {
        return parse_scheme_json(get_object(group.storage, "quantization"));
      });
      for (const std::string& target : group.targets) schemes_.emplace(target, scheme);
    }
  }

  std::string kind(const WeightSource& source, const WeightLoader& /*loader*/) const override {
    const auto found = schemes_.find(source.module);
    if (found == schemes_.end()) return "";
    const Shape shape = source.checkpoint.shape(source.module + kA);
    return fmt::format("{} + rank {}", scheme_kind(found->second),
                       shape.empty() ? 0 : shape.front());
  }

  std::unique_ptr<Weight> load(const WeightSource& source,
                               const WeightLoader& /*loader*/) const override {
    const auto lookup = [&](const std::string& name) { return source.checkpoint.tensor(name); };
    const QuantizationScheme& scheme = schemes_.at(source.module);
    const bool packed = source.checkpoint.contains(source.module + ".weight_packed");
    const auto read = packed ? open_quantized : open_int_quantized;
    return std::make_unique<LowRankSum>(
        std::make_shared<GroupQuantizedWeight>(read(source.module, scheme, lookup)),
        source.checkpoint.tensor(source.module + kA), source.checkpoint.tensor(source.module + kB));
  }

 private:
  std::map<std::string, QuantizationScheme> schemes_;
};

const WeightFormatRegistration registration(
    [](const Json& config) -> std::unique_ptr<WeightFormat> {
      const TerseConfig ours = TerseConfig::of(config);
      return ours.groups.empty() ? nullptr : std::make_unique<LowRankSumFormat>(ours);
    });

}  // namespace

LowRankSum::LowRankSum(std::shared_ptr<Weight> base, const Matrix& a, const Matrix& b, DType dtype)
    : LowRankSum(std::move(base), Tensor::from_matrix(dtype, a), Tensor::from_matrix(dtype, b)) {}

LowRankSum::LowRankSum(std::shared_ptr<Weight> base, Tensor a, Tensor b)
    : base_(std::move(base)), a_(std::move(a)), b_(std::move(b)) {
  check();
}

bool LowRankSum::can_hold(const Weight& base) {
  const Json config = base.config();
  return config.is_object() && has_key(config, "quantization") && !has_key(config, "layout");
}

void LowRankSum::check() const {
  if (!can_hold(*base_)) {
    throw failure("a low-rank correction is for dense integers; found {}", base_->kind());
  }
  for (const Tensor* factor : {&a_, &b_}) {
    if (factor->shape().size() != 2 || !is_floating(factor->dtype())) {
      throw bad_input("low_rank_a and low_rank_b: expected real numbers of two dimensions");
    }
  }
  if (rank() < 1 || a_.shape()[1] != columns() || b_.shape()[0] != rows() ||
      b_.shape()[1] != rank()) {
    throw bad_input("low_rank_a {} and low_rank_b {} do not fit a weight of [{}, {}]",
                    shape_text(a_.shape()), shape_text(b_.shape()), rows(), columns());
  }
}

void LowRankSum::prepare() {
  if (a_panels_.rows() != 0) return;
  if (!all_finite(a_) || !all_finite(b_)) {
    throw bad_input("its low-rank factors hold NaN or infinity; the checkpoint is damaged");
  }
  base_->prepare();
  a_panels_ = kernels::Panels::pack(a_);
  b_panels_ = kernels::Panels::pack(b_);
}

void LowRankSum::multiply(const Matrix& x, Matrix& y) const {
  base_->multiply(x, y);
  Matrix narrow(x.rows(), rank());
  kernels::multiply(x.data(), x.cols(), x.rows(), a_panels_, narrow.data(), narrow.cols());
  Matrix correction(y.rows(), y.cols());
  kernels::multiply(narrow.data(), narrow.cols(), x.rows(), b_panels_, correction.data(),
                    correction.cols());
  y += correction;
}

ProductCost LowRankSum::cost() const {
  ProductCost cost = base_->cost();
  cost += cost_of(a_panels_);
  return cost += cost_of(b_panels_);
}

void LowRankSum::row(std::int64_t index, float* out) const {
  base_->row(index, out);
  Eigen::Map<Eigen::RowVectorXf>(out, columns()) += b_.to_matrix().row(index) * a_.to_matrix();
}

Matrix LowRankSum::dense() const {
  return base_->dense() + b_.to_matrix() * a_.to_matrix();
}

std::vector<NamedTensor> LowRankSum::tensors(const std::string& module) const {
  std::vector<NamedTensor> all = base_->tensors(module);
  all.push_back({module + kA, a_});
  all.push_back({module + kB, b_});
  return all;
}

std::string LowRankSum::kind() const {
  return fmt::format("{} + rank {}", base_->kind(), rank());
}

Json LowRankSum::config() const {
  Json scheme = get_object(base_->config(), "quantization");
  scheme.erase("format");
  return {{"layout", kLayout}, {"quantization", std::move(scheme)}};
}

}  // namespace terse
