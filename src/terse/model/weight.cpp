#include "terse/model/weight.h"

#include "terse/core/error.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/shared.h"

namespace terse {
namespace {

std::vector<WeightFormatFactory>& factories() {
  static std::vector<WeightFormatFactory> registered;
  return registered;
}

}  // namespace

WeightFormatRegistration::WeightFormatRegistration(WeightFormatFactory factory) {
  factories().push_back(std::move(factory));
}

WeightLoader::WeightLoader(const Checkpoint& checkpoint, ActivationType activations)
    : ours_(TerseConfig::of(checkpoint.config())), activations_(activations) {
  for (const StorageGroup& group : ours_.groups) {
    if (group.layout != Shared::kLayout) continue;
    with_context("terse_config", [&] { lenders_.insert(get_string(group.storage, "module")); });
  }
  for (const WeightFormatFactory& factory : factories()) {
    if (auto format = factory(checkpoint.config())) formats_.push_back(std::move(format));
  }
}

const WeightFormat* WeightLoader::claimant(const WeightSource& source) const {
  for (const auto& format : formats_) {
    if (!format->kind(source, *this).empty()) return format.get();
  }
  if (const StorageGroup* group = ours_.group_for(source.module)) {
    throw bad_input("terse_config: {}: layout '{}' is not known; a newer terse wrote it",
                    source.module, group->layout);
  }
  return nullptr;
}

std::string WeightLoader::kind(const WeightSource& source) const {
  const WeightFormat* format = claimant(source);
  if (format != nullptr) return format->kind(source, *this);
  return std::string(dtype_torch_name(source.checkpoint.dtype(source.module + ".weight")));
}

std::string WeightLoader::owner(const std::string& module) const {
  const StorageGroup* group = ours_.group_for(module);
  const bool shared = group != nullptr && group->layout == Shared::kLayout;
  return shared ? get_string(group->storage, "module") : module;
}

std::shared_ptr<Weight> WeightLoader::load_once(const WeightSource& source) const {
  std::weak_ptr<Weight>& used = in_use_[source.module];
  if (std::shared_ptr<Weight> weight = used.lock()) return weight;
  std::shared_ptr<Weight> weight = load(source);
  used = weight;
  return weight;
}

std::unique_ptr<Weight> WeightLoader::load(const WeightSource& source) const {
  return with_context(source.module, [&]() -> std::unique_ptr<Weight> {
    const WeightFormat* format = claimant(source);
    std::unique_ptr<Weight> weight =
        format != nullptr
            ? format->load(source, *this)
            : std::make_unique<DenseWeight>(source.checkpoint.tensor(source.module + ".weight"),
                                            source.transposed);
    const Shape found{weight->rows(), weight->columns()};
    if (found != source.shape) {
      throw bad_input("the weight is {}; config.json makes it {}", shape_text(found),
                      shape_text(source.shape));
    }
    return weight;
  });
}

}  // namespace terse
