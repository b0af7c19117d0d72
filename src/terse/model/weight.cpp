#include "terse/model/weight.h"

#include "terse/core/error.h"
#include "terse/model/weights/dense.h"

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

WeightLoader::WeightLoader(const Checkpoint& checkpoint) {
  for (const WeightFormatFactory& factory : factories()) {
    if (auto format = factory(checkpoint.config())) formats_.push_back(std::move(format));
  }
}

std::unique_ptr<Weight> WeightLoader::load(const WeightSource& source) const {
  return with_context(source.module, [&]() -> std::unique_ptr<Weight> {
    std::unique_ptr<Weight> weight;
    for (const auto& format : formats_) {
      if (!weight) weight = format->load(source);
    }
    if (!weight) {
      const Tensor tensor = source.checkpoint.tensor(source.module + ".weight");
      weight = std::make_unique<DenseWeight>(tensor, source.transposed);
    }
    const Shape found{weight->rows(), weight->columns()};
    if (found != source.shape) {
      throw bad_input("the weight is {}; config.json makes it {}", shape_text(found),
                      shape_text(source.shape));
    }
    return weight;
  });
}

}  // namespace terse
