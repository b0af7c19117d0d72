#include "terse/model/weights/group_quantized.h"

#include "terse/core/error.h"
#include "terse/formats/compressed_tensors.h"
#include "terse/model/activation_grid.h"

namespace terse {
namespace {

std::string shared_scale(const QuantizationScheme& scheme) {
  switch (scheme.strategy) {
    case QuantizationStrategy::tensor:
      return "per tensor";
    case QuantizationStrategy::channel:
      return "per channel";
    case QuantizationStrategy::group:
      return fmt::format("group {}", scheme.group_size);
  }
  return "";
}

// Modules that a checkpoint's quantization_config says are integers. The tensors tell the layout:
// packed ones have a name of their own, plain ones are int8.
class QuantizedFormat : public WeightFormat {
 public:
  QuantizedFormat(QuantizationConfig config, TerseConfig ours)
      : config_(std::move(config)), ours_(std::move(ours)) {}

  std::string kind(const WeightSource& source, const WeightLoader& /*loader*/) const override {
    if (ours_.group_for(source.module) != nullptr) return "";
    if (!is_packed(source) && !is_plain(source)) return "";
    return scheme_kind(scheme_of(source));
  }

  std::unique_ptr<Weight> load(const WeightSource& source,
                               const WeightLoader& /*loader*/) const override {
    const auto lookup = [&](const std::string& name) { return source.checkpoint.tensor(name); };
    const auto read = is_packed(source) ? unpack_quantized : load_int_quantized;
    return std::make_unique<GroupQuantizedWeight>(read(source.module, scheme_of(source), lookup));
  }

 private:
  static bool is_packed(const WeightSource& source) {
    return source.checkpoint.contains(source.module + ".weight_packed");
  }

  static bool is_plain(const WeightSource& source) {
    const std::string name = source.module + ".weight";
    return source.checkpoint.contains(name) && source.checkpoint.dtype(name) == DType::i8;
  }

  const QuantizationScheme& scheme_of(const WeightSource& source) const {
    const QuantizationScheme* scheme = config_.scheme_for(source.module, source.class_name);
    if (scheme == nullptr) {
      throw bad_input("{}: holds integers, but quantization_config has no scheme for it",
                      source.module);
    }
    return *scheme;
  }

  QuantizationConfig config_;
  TerseConfig ours_;  // modules of which another kind holds integers among other things
};

const WeightFormatRegistration registration(
    [](const Json& config) -> std::unique_ptr<WeightFormat> {
      if (!has_key(config, "quantization_config")) return nullptr;
      QuantizationConfig parsed = with_context("quantization_config", [&] {
        return QuantizationConfig::parse(get_object(config, "quantization_config"));
      });
      return std::make_unique<QuantizedFormat>(std::move(parsed), TerseConfig::of(config));
    });

}  // namespace

std::string scheme_kind(const QuantizationScheme& scheme, std::optional<SparseLayout> layout) {
  std::string kind = fmt::format("{} bits {}", scheme.bits, shared_scale(scheme));
  if (layout) kind += fmt::format(" {}", layout_name(*layout));
  if (scheme.activations) {
    kind += fmt::format(", inputs {} bits per {}", scheme.activations->bits,
                        scheme.activations->dynamic() ? "token" : "tensor");
  }
  return kind;
}

void GroupQuantizedWeight::prepare() {
  if (panels_.rows() != 0) return;
  const Matrix weight = quantized_.dense();
  if (!all_finite(std::span(weight.data(), static_cast<std::size_t>(weight.size())))) {
    throw bad_input("its scales make values that are not finite; the checkpoint is damaged");
  }
  panels_ = kernels::Panels::pack(weight.data(), weight.rows(), weight.cols(), weight.cols());
}

void GroupQuantizedWeight::multiply(const Matrix& x, Matrix& y) const {
  const auto& activations = quantized_.scheme.activations;
  if (!activations) {
    kernels::multiply(x.data(), x.cols(), x.rows(), panels_, y.data(), y.cols());
    return;
  }
  const Matrix rounded =
      round_activations(*activations, {quantized_.input_scale, quantized_.input_zero}, x);
  kernels::multiply(rounded.data(), x.cols(), x.rows(), panels_, y.data(), y.cols());
}

void GroupQuantizedWeight::row(std::int64_t index, float* out) const {
  quantized_.dense_row(index, out);
}

std::vector<NamedTensor> GroupQuantizedWeight::tensors(const std::string& module) const {
  const bool packed = format_name(quantized_.scheme) == "pack-quantized";
  return packed ? pack_quantized(module, quantized_) : store_int_quantized(module, quantized_);
}

std::string GroupQuantizedWeight::kind() const {
  return scheme_kind(quantized_.scheme);
}

Json GroupQuantizedWeight::config() const {
  Json config = Json::object();
  config["quantization"] = group_json(quantized_.scheme);
  return config;
}

}  // namespace terse
