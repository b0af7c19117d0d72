#include "terse/model/weights/low_rank.h"

#include <map>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/matrix_product.h"
#include "terse/formats/terse_config.h"

namespace terse {
namespace {

std::string kind_text(std::int64_t rank, const std::string& a, const std::string& b) {
  return fmt::format("rank {} {}", rank, a == b ? a : a + " and " + b);
}

class LowRankFormat : public WeightFormat {
 public:
  explicit LowRankFormat(const TerseConfig& config) {
    for (const StorageGroup& group : config.groups) {
      if (group.layout != LowRank::kLayout) continue;
      const std::int64_t rank =
          with_context("terse_config", [&] { return get_integer(group.storage, "rank"); });
      for (const std::string& target : group.targets) ranks_.emplace(target, rank);
    }
  }

  std::string kind(const WeightSource& source, const WeightLoader& loader) const override {
    const auto found = ranks_.find(source.module);
    if (found == ranks_.end()) return "";
    return kind_text(found->second, loader.kind(part(source, LowRank::kA, {})),
                     loader.kind(part(source, LowRank::kB, {})));
  }

  std::unique_ptr<Weight> load(const WeightSource& source,
                               const WeightLoader& loader) const override {
    const std::int64_t rank = ranks_.at(source.module);
    return std::make_unique<LowRank>(
        loader.load(part(source, LowRank::kA, {rank, source.shape[1]})),
        loader.load(part(source, LowRank::kB, {source.shape[0], rank})));
  }

 private:
  static WeightSource part(const WeightSource& source, const char* name, Shape shape) {
    return {source.checkpoint, source.module + "." + name, "Linear", std::move(shape), false};
  }

  std::map<std::string, std::int64_t> ranks_;
};

const WeightFormatRegistration registration(
    [](const Json& config) -> std::unique_ptr<WeightFormat> {
      const TerseConfig ours = TerseConfig::of(config);
      return ours.groups.empty() ? nullptr : std::make_unique<LowRankFormat>(ours);
    });

}  // namespace

LowRank::LowRank(std::shared_ptr<Weight> a, std::shared_ptr<Weight> b)
    : a_(std::move(a)), b_(std::move(b)) {
  if (a_->rows() == b_->columns() && a_->rows() > 0) return;
  throw bad_input("low_rank_a [{}, {}] and low_rank_b [{}, {}] do not fit", a_->rows(),
                  a_->columns(), b_->rows(), b_->columns());
}

void LowRank::prepare() {
  with_context(kA, [&] { a_->prepare(); });
  with_context(kB, [&] { b_->prepare(); });
}

void LowRank::multiply(const Matrix& x, Matrix& y) const {
  Matrix narrow(x.rows(), rank());
  a_->multiply(x, narrow);
  b_->multiply(narrow, y);
}

ProductCost LowRank::cost() const {
  ProductCost cost = a_->cost();
  return cost += b_->cost();
}

void LowRank::row(std::int64_t index, float* out) const {
  Vector narrow(rank());
  b_->row(index, narrow.data());
  Eigen::Map<Eigen::RowVectorXf>(out, columns()) = narrow.transpose() * a_->dense();
}

Matrix LowRank::dense() const {
  return product(b_->dense(), a_->dense());
}

std::vector<NamedTensor> LowRank::tensors(const std::string& module) const {
  std::vector<NamedTensor> all = a_->tensors(module + "." + kA);
  for (NamedTensor& tensor : b_->tensors(module + "." + kB)) all.push_back(std::move(tensor));
  return all;
}

std::string LowRank::kind() const {
  return kind_text(rank(), a_->kind(), b_->kind());
}

Json LowRank::config() const {
  return {
      {"layout", kLayout}, {"rank", rank()}, {"parts", {{kA, a_->config()}, {kB, b_->config()}}}};
}

}  // namespace terse
