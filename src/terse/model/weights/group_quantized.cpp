#include "terse/model/weights/group_quantized.h"

#include "terse/core/error.h"
#include "terse/formats/compressed_tensors.h"

namespace terse {
namespace {

std::string scheme_kind(const QuantizationScheme& scheme) {
  switch (scheme.strategy) {
    case QuantizationStrategy::tensor:
      return fmt::format("{} bits per tensor", scheme.bits);
    case QuantizationStrategy::channel:
      return fmt::format("{} bits per channel", scheme.bits);
    case QuantizationStrategy::group:
      return fmt::format("{} bits group {}", scheme.bits, scheme.group_size);
  }
  return "";
}

// Modules that a checkpoint's quantization_config says are packed integers.
class PackQuantizedFormat : public WeightFormat {
 public:
  explicit PackQuantizedFormat(QuantizationConfig config) : config_(std::move(config)) {}

  std::string kind(const WeightSource& source) const override {
    if (!source.checkpoint.contains(source.module + ".weight_packed")) return "";
    return scheme_kind(scheme_of(source));
  }

  std::unique_ptr<Weight> load(const WeightSource& source) const override {
    const auto lookup = [&](const std::string& name) { return source.checkpoint.tensor(name); };
    return std::make_unique<GroupQuantizedWeight>(
        unpack_quantized(source.module, scheme_of(source), lookup));
  }

 private:
  const QuantizationScheme& scheme_of(const WeightSource& source) const {
    const QuantizationScheme* scheme = config_.scheme_for(source.module, source.class_name);
    if (scheme == nullptr) {
      throw bad_input("{}: is packed, but quantization_config has no scheme for it", source.module);
    }
    return *scheme;
  }

  QuantizationConfig config_;
};

const WeightFormatRegistration registration(
    [](const Json& config) -> std::unique_ptr<WeightFormat> {
      if (!has_key(config, "quantization_config")) return nullptr;
      return std::make_unique<PackQuantizedFormat>(with_context("quantization_config", [&] {
        return QuantizationConfig::parse(get_object(config, "quantization_config"));
      }));
    });

}  // namespace

void GroupQuantizedWeight::prepare() {
  if (panels_.rows() != 0) return;
  const Matrix weight = quantized_.dense();
  if (!all_finite(std::span(weight.data(), static_cast<std::size_t>(weight.size())))) {
    throw bad_input("its scales make values that are not finite; the checkpoint is damaged");
  }
  panels_ = kernels::Panels::pack(weight.data(), weight.rows(), weight.cols(), weight.cols());
}

void GroupQuantizedWeight::multiply(const Matrix& x, Matrix& y) const {
  kernels::multiply(x.data(), x.cols(), x.rows(), panels_, y.data(), y.cols());
}

void GroupQuantizedWeight::row(std::int64_t index, float* out) const {
  quantized_.dense_row(index, out);
}

std::vector<NamedTensor> GroupQuantizedWeight::tensors(const std::string& module) const {
  return pack_quantized(module, quantized_);
}

Json GroupQuantizedWeight::config() const {
  QuantizationConfig c;
  c.groups.push_back({{"x"}, quantized_.scheme});
  Json j = c.to_json().at("config_groups").at("group_0");
  j.erase("targets");
  return {{"quantization", j}};
}

std::string GroupQuantizedWeight::kind() const {
  return scheme_kind(quantized_.scheme);
}

}  // namespace terse
