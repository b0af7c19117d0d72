#include "terse/model/weights/shared.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <utility>

#include "terse/core/error.h"
#include "terse/formats/terse_config.h"
#include "terse/model/weights/low_rank.h"

namespace terse {
namespace {

std::string kind_text(std::int64_t rank) {
  return rank > 0 ? fmt::format("shared + rank {}", rank) : "shared";
}

class SharedFormat : public WeightFormat {
 public:
  explicit SharedFormat(const TerseConfig& config) {
    for (const StorageGroup& group : config.groups) {
      if (group.layout != Shared::kLayout) continue;
      with_context("terse_config", [&] { add(group); });
    }
    for (const auto& [target, source] : sources_) {
      if (!sources_.contains(source.module)) continue;
      throw bad_input("terse_config: {} has its weight from {}, which has none of its own", target,
                      source.module);
    }
  }

  std::string kind(const WeightSource& source, const WeightLoader& /*loader*/) const override {
    const auto found = sources_.find(source.module);
    return found == sources_.end() ? "" : kind_text(found->second.rank);
  }

  std::unique_ptr<Weight> load(const WeightSource& source,
                               const WeightLoader& loader) const override {
    const Source& from = sources_.at(source.module);
    WeightSource base = source;
    base.module = from.module;
    return std::make_unique<Shared>(
        from.module, loader.load_once(base),
        from.rank > 0 ? difference(source, from.rank, loader) : nullptr);
  }

 private:
  struct Source {
    std::string module;
    std::int64_t rank;
  };

  void add(const StorageGroup& group) {
    const Source source{get_string(group.storage, "module"), get_integer(group.storage, "rank", 0)};
    if (source.rank < 0) throw bad_input("key 'rank': {} is less than 0", source.rank);
    for (const std::string& target : group.targets) sources_.emplace(target, source);
  }

  static std::unique_ptr<Weight> difference(const WeightSource& source, std::int64_t rank,
                                            const WeightLoader& loader) {
    const auto factor = [&](const char* name, Shape shape) {
      return loader.load(
          {source.checkpoint, source.module + "." + name, "Linear", std::move(shape), false});
    };
    return std::make_unique<LowRank>(factor(LowRank::kA, {rank, source.shape[1]}),
                                     factor(LowRank::kB, {source.shape[0], rank}));
  }

  std::map<std::string, Source> sources_;
};

const WeightFormatRegistration registration(
    [](const Json& config) -> std::unique_ptr<WeightFormat> {
      const TerseConfig ours = TerseConfig::of(config);
      return ours.groups.empty() ? nullptr : std::make_unique<SharedFormat>(ours);
    });

}  // namespace

Shared::Shared(std::string module, std::shared_ptr<Weight> base, std::shared_ptr<Weight> difference)
    : module_(std::move(module)), base_(std::move(base)), difference_(std::move(difference)) {
  if (difference_ == nullptr ||
      (difference_->rows() == rows() && difference_->columns() == columns())) {
    return;
  }
  throw bad_input("a difference of [{}, {}] does not fit a shared weight of [{}, {}]",
                  difference_->rows(), difference_->columns(), rows(), columns());
}

void Shared::prepare() {
  base_->prepare();
  if (difference_ != nullptr) difference_->prepare();
}

void Shared::multiply(const Matrix& x, Matrix& y) const {
  base_->multiply(x, y);
  if (difference_ == nullptr) return;
  Matrix own(y.rows(), y.cols());
  difference_->multiply(x, own);
  y += own;
}

ProductCost Shared::cost() const {
  ProductCost cost = base_->cost();
  if (difference_ != nullptr) cost += difference_->cost();
  return cost;
}

void Shared::row(std::int64_t index, float* out) const {
  base_->row(index, out);
  if (difference_ == nullptr) return;
  Vector own(columns());
  difference_->row(index, own.data());
  Eigen::Map<Vector>(out, columns()) += own;
}

Matrix Shared::dense() const {
  return difference_ == nullptr ? base_->dense() : Matrix(base_->dense() + difference_->dense());
}

std::vector<NamedTensor> Shared::tensors(const std::string& module) const {
  return difference_ == nullptr ? std::vector<NamedTensor>() : difference_->tensors(module);
}

std::string Shared::kind() const {
  return kind_text(difference_ == nullptr ? 0 : get_integer(difference_->config(), "rank"));
}

Json Shared::config() const {
  return shared_storage(module_,
                        difference_ == nullptr ? 0 : get_integer(difference_->config(), "rank"));
}

Json shared_storage(const std::string& module, std::int64_t rank) {
  Json storage = {{"layout", Shared::kLayout}, {"module", module}};
  if (rank > 0) storage["rank"] = rank;
  return storage;
}

}  // namespace terse
