#include "terse/model/weights/group_quantized.h"

#include <cmath>

#include "terse/core/error.h"
#include "terse/core/threads.h"
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
                               const WeightLoader& loader) const override {
    const auto lookup = [&](const std::string& name) { return source.checkpoint.tensor(name); };
    const auto read = is_packed(source) ? open_quantized : open_int_quantized;
    return std::make_unique<GroupQuantizedWeight>(read(source.module, scheme_of(source), lookup),
                                                  loader.activations());
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

bool GroupQuantizedWeight::finite() const {
  const float widest =
      stored_.scales.cwiseAbs().maxCoeff() * static_cast<float>(stored_.scheme.levels());
  if (std::isfinite(widest) && !stored_.scales.hasNaN()) return true;
  // Largest codes may not be there.
  const Matrix values = stored_.dense();
  return all_finite(std::span(values.data(), static_cast<std::size_t>(values.size())));
}

void GroupQuantizedWeight::prepare() {
  if (prepared()) return;
  if (!finite()) {
    throw bad_input("its scales make values that are not finite; the checkpoint is damaged");
  }
  const bool one_scale = stored_.scheme.strategy == QuantizationStrategy::tensor;
  packed_ = kernels::PackedIntegers::pack(
      {.bits = stored_.scheme.bits,
       .rows = stored_.rows,
       .columns = stored_.columns,
       .groups = scheme().groups(columns()),
       .group_of = stored_.g_idx,
       .codes = stored_.code_rows(),
       .scales = stored_.scales.data(),
       .zeros = stored_.scheme.symmetric ? nullptr : stored_.zeros.data(),
       .group_stride = one_scale ? 0 : scheme().groups(columns()),
       .scale_dtype = stored_.scheme.scale_dtype,
       .sparse = sparse()});
  // Assigning {} would keep the memory.
  stored_.codes = std::vector<std::uint8_t>();
  stored_.stored = {};
  if (!stored_.g_idx.empty()) return;  // a group may have no columns
  stored_.scales.resize(0, 0);
  stored_.zeros = std::vector<std::uint8_t>();
}

// The grid of inputs that integers are multiplied on; none where they stay real numbers.
std::optional<kernels::InputGrid> GroupQuantizedWeight::input_grid() const {
  if (activations_ == ActivationType::f32) return std::nullopt;
  const auto& scheme = stored_.scheme.activations;
  if (!scheme) return kernels::InputGrid::block;
  if (!scheme->symmetric || scheme->bits != 8) return std::nullopt;
  return scheme->dynamic() ? kernels::InputGrid::row : kernels::InputGrid::fixed;
}

void GroupQuantizedWeight::multiply(const Matrix& x, Matrix& y) const {
  if (const auto grid = input_grid()) {
    kernels::multiply_rounded(x.data(), x.cols(), x.rows(), packed_, *grid, stored_.input_scale,
                              y.data(), y.cols());
    return;
  }
  const auto& scheme = stored_.scheme.activations;
  if (!scheme) {
    kernels::multiply(x.data(), x.cols(), x.rows(), packed_, y.data(), y.cols());
    return;
  }
  const Matrix rounded = round_activations(*scheme, {stored_.input_scale, stored_.input_zero}, x);
  kernels::multiply(rounded.data(), x.cols(), x.rows(), packed_, y.data(), y.cols());
}

void GroupQuantizedWeight::row(std::int64_t index, float* out) const {
  if (prepared()) return packed_.unpack_row(index, out);
  stored_.dense_row(index, out);
}

Matrix GroupQuantizedWeight::dense() const {
  if (!prepared()) return stored_.dense();
  Matrix values(rows(), columns());
  parallel_for(rows(), [&](std::int64_t r) { packed_.unpack_row(r, values.row(r).data()); });
  return values;
}

QuantizedMatrix GroupQuantizedWeight::quantized() const {
  QuantizedMatrix all = stored_;
  all.read_codes();
  if (!prepared()) return all;
  all.codes.resize(static_cast<std::size_t>(rows() * columns()));
  parallel_for(rows(), [&](std::int64_t r) { packed_.codes(r, all.codes.data() + r * columns()); });
  if (!all.g_idx.empty()) return all;
  const std::int64_t groups = scheme().groups(columns());
  const std::int64_t grids = scheme().strategy == QuantizationStrategy::tensor ? 1 : rows();
  all.scales.resize(grids, groups);
  all.zeros.resize(static_cast<std::size_t>(grids * groups));
  parallel_for(grids, [&](std::int64_t r) {
    packed_.grids(r, all.scales.row(r).data(), all.zeros.data() + r * groups);
  });
  return all;
}

std::vector<NamedTensor> GroupQuantizedWeight::tensors(const std::string& module) const {
  const bool packed = format_name(scheme()) == "pack-quantized";
  return packed ? pack_quantized(module, quantized()) : store_int_quantized(module, quantized());
}

std::string GroupQuantizedWeight::kind() const {
  return scheme_kind(scheme());
}

Json GroupQuantizedWeight::config() const {
  Json config = Json::object();
  config["quantization"] = group_json(scheme());
  return config;
}

}  // namespace terse
