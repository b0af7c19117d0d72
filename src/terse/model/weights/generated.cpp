#include "terse/model/weights/generated.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/rounding.h"
#include "terse/core/threads.h"
#include "terse/formats/terse_config.h"
#include "terse/model/normal_rows.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/group_quantized.h"
#include "terse/model/weights/sparse.h"

namespace terse {
namespace {

constexpr std::string_view kLayout = "generated";

NormalRows rows_of(const GeneratedScheme& scheme, std::string_view module, std::int64_t columns) {
  NormalRows rows(scheme.seed, module, columns, scheme.deviation);
  if (!scheme.sparsity) return rows;
  if (scheme.sparsity->layout == SparseLayout::two_four) {
    rows.keep_two_of_four();
  } else {
    rows.drop_smallest(scheme.sparsity->share);
  }
  return rows;
}

QuantizationScheme integers(const GeneratedScheme& scheme) {
  return {.bits = *scheme.bits,
          .symmetric = true,
          .group_size = scheme.group_size,
          .scale_dtype = DType::bf16};
}

// As methods/quantize/grid.h describes symmetric grids.
void round_group(const QuantizationScheme& scheme, std::span<const float> values, float& scale,
                 std::uint8_t* codes) {
  float most = 0;
  for (const float value : values) most = std::max(most, std::abs(value));
  const auto top = static_cast<float>(scheme.levels() - 1);
  const auto middle = static_cast<float>(scheme.middle());
  scale = round_to_dtype(scheme.scale_dtype, 2 * (most > 0 ? most : 1) / top);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float code = std::min(top - middle, std::max(-middle, values[i] / scale));
    codes[i] = static_cast<std::uint8_t>(round_half_even(code) + middle);
  }
}

QuantizedMatrix generate_integers(const GeneratedScheme& generated, const NormalRows& rows,
                                  const Shape& shape) {
  QuantizedMatrix matrix;
  matrix.scheme = integers(generated);
  matrix.rows = shape[0];
  matrix.columns = shape[1];
  const QuantizationScheme& scheme = matrix.scheme;
  if (matrix.columns % scheme.group_size != 0) {
    throw bad_input("groups of {} do not divide its {} columns", scheme.group_size, matrix.columns);
  }
  const std::int64_t groups = scheme.groups(matrix.columns);
  matrix.codes.resize(static_cast<std::size_t>(matrix.rows * matrix.columns));
  matrix.scales.resize(matrix.rows, groups);
  matrix.zeros.assign(static_cast<std::size_t>(matrix.rows * groups),
                      static_cast<std::uint8_t>(scheme.middle()));
  for_each_row(matrix.rows, [&](std::int64_t r) {
    thread_local std::vector<float> values;
    values.resize(static_cast<std::size_t>(matrix.columns));
    rows.make(r, values);
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t first = g * scheme.group_size;
      round_group(scheme, {values.data() + first, static_cast<std::size_t>(scheme.group_size)},
                  matrix.scales(r, g), matrix.codes.data() + r * matrix.columns + first);
    }
  });
  return matrix;
}

Tensor generate_floats(const NormalRows& rows, const Shape& shape) {
  const auto columns = static_cast<std::size_t>(shape[1]);
  const std::size_t row_bytes = columns * dtype_size(DType::bf16);
  std::vector<std::byte> bytes(static_cast<std::size_t>(shape[0]) * row_bytes);
  for_each_row(shape[0], [&](std::int64_t r) {
    thread_local std::vector<float> values;
    values.resize(columns);
    rows.make(r, values);
    convert_from_float(DType::bf16, values,
                       {bytes.data() + static_cast<std::size_t>(r) * row_bytes, row_bytes});
  });
  return Tensor::from_bytes(DType::bf16, shape, std::move(bytes));
}

SparseMatrix without_zeros(const Tensor& values, SparseLayout layout) {
  const std::int64_t columns = values.shape()[1];
  const auto bits = values.to_values<std::uint16_t>();
  SparseMask mask(values.shape()[0], columns, [&](std::int64_t r, std::int64_t c) {
    return (bits[static_cast<std::size_t>(r * columns + c)] & 0x7fff) != 0;
  });
  return SparseMatrix::from_dense(values, std::move(mask), layout);
}

// Made when it is prepared, so that a model that was only opened holds nothing.
class GeneratedWeight : public Weight {
 public:
  GeneratedWeight(GeneratedScheme scheme, std::string module, Shape shape,
                  ActivationType activations)
      : scheme_(std::move(scheme)),
        module_(std::move(module)),
        shape_(std::move(shape)),
        activations_(activations) {}

  std::int64_t rows() const override { return shape_[0]; }
  std::int64_t columns() const override { return shape_[1]; }
  void prepare() override {
    if (made_ == nullptr) made_ = make();
    made_->prepare();
  }
  void multiply(const Matrix& x, Matrix& y) const override { made_->multiply(x, y); }
  ProductCost cost() const override { return made_->cost(); }
  void row(std::int64_t index, float* out) const override { made()->row(index, out); }
  Matrix dense() const override { return made()->dense(); }
  std::vector<NamedTensor> tensors(const std::string& module) const override {
    return made()->tensors(module);
  }
  std::string kind() const override { return generated_kind(scheme_); }
  Json config() const override { return made()->config(); }

 private:
  std::shared_ptr<Weight> make() const {
    return generate_weight(scheme_, module_, shape_, activations_);
  }
  std::shared_ptr<Weight> made() const { return made_ != nullptr ? made_ : make(); }

  GeneratedScheme scheme_;
  std::string module_;
  Shape shape_;
  ActivationType activations_;
  std::shared_ptr<Weight> made_;
};

// Modules of which terse_config says that they are made.
class GeneratedFormat : public WeightFormat {
 public:
  explicit GeneratedFormat(const TerseConfig& config) {
    for (const StorageGroup& group : config.groups) {
      const auto scheme =
          with_context("terse_config", [&] { return parse_generated_scheme(group.storage); });
      if (!scheme) continue;
      for (const std::string& target : group.targets) modules_.emplace(target, *scheme);
    }
  }

  std::string kind(const WeightSource& source, const WeightLoader& /*loader*/) const override {
    const auto found = modules_.find(source.module);
    return found == modules_.end() ? "" : generated_kind(found->second);
  }

  std::unique_ptr<Weight> load(const WeightSource& source,
                               const WeightLoader& loader) const override {
    return std::make_unique<GeneratedWeight>(modules_.at(source.module), source.module,
                                             source.shape, loader.activations());
  }

 private:
  std::map<std::string, GeneratedScheme> modules_;
};

const WeightFormatRegistration registration(
    [](const Json& config) -> std::unique_ptr<WeightFormat> {
      const TerseConfig ours = TerseConfig::of(config);
      if (ours.groups.empty()) return nullptr;
      return std::make_unique<GeneratedFormat>(ours);
    });

}  // namespace

std::string generated_kind(const GeneratedScheme& scheme) {
  std::optional<SparseLayout> layout;
  if (scheme.sparsity) layout = scheme.sparsity->layout;
  if (scheme.bits) return scheme_kind(integers(scheme), layout);
  const std::string_view dtype = dtype_torch_name(DType::bf16);
  return layout ? fmt::format("{} {}", dtype, layout_name(*layout)) : std::string(dtype);
}

GeneratedSparsity generated_sparsity(std::string_view layout, double share) {
  if (layout == layout_name(SparseLayout::two_four) && share == 0.5) {
    return {SparseLayout::two_four, share};
  }
  if (layout == layout_name(SparseLayout::bitmap) && share > 0 && share < 1) {
    return {SparseLayout::bitmap, share};
  }
  throw bad_input(
      "key 'sparsity': {} of the layout '{}'; expected bitmap and a share between 0 and "
      "1, or 2:4 and 0.5",
      share, layout);
}

Json to_json(const GeneratedScheme& scheme) {
  Json json = {{"layout", kLayout}, {"seed", scheme.seed}, {"deviation", scheme.deviation}};
  if (scheme.bits) {
    json["bits"] = *scheme.bits;
    json["group_size"] = scheme.group_size;
  }
  if (scheme.sparsity) {
    json["sparse_layout"] = layout_name(scheme.sparsity->layout);
    json["sparsity"] = scheme.sparsity->share;
  }
  return json;
}

std::optional<GeneratedScheme> parse_generated_scheme(const Json& json) {
  if (get_string(json, "layout") != kLayout) return std::nullopt;
  GeneratedScheme scheme;
  const auto in_range = [&](const char* key, auto value, auto least, auto most) {
    if (value >= least && value <= most) return value;
    throw bad_input("key '{}': {} is not in [{}, {}]", key, value, least, most);
  };
  scheme.seed = static_cast<std::uint64_t>(
      in_range("seed", get_integer(json, "seed"), std::int64_t{0}, INT64_MAX));
  scheme.deviation = in_range("deviation", get_number(json, "deviation"), 1e-6, 1e6);
  if (has_key(json, "bits")) {
    scheme.bits = static_cast<int>(
        in_range("bits", get_integer(json, "bits"), std::int64_t{2}, std::int64_t{8}));
    scheme.group_size =
        in_range("group_size", get_integer(json, "group_size"), std::int64_t{1}, INT64_MAX);
  }
  if (has_key(json, "sparse_layout")) {
    scheme.sparsity =
        generated_sparsity(get_string(json, "sparse_layout"), get_number(json, "sparsity"));
  }
  return scheme;
}

std::unique_ptr<Weight> generate_weight(const GeneratedScheme& scheme, std::string_view module,
                                        const Shape& shape, ActivationType activations) {
  element_count(shape);  // refuses what does not fit 64 bits
  const NormalRows rows = rows_of(scheme, module, shape[1]);
  if (!scheme.bits) {
    const Tensor values = generate_floats(rows, shape);
    if (!scheme.sparsity) return std::make_unique<DenseWeight>(values);
    return std::make_unique<SparseWeight>(without_zeros(values, scheme.sparsity->layout));
  }
  QuantizedMatrix codes = generate_integers(scheme, rows, shape);
  if (!scheme.sparsity) {
    return std::make_unique<GroupQuantizedWeight>(std::move(codes), activations);
  }
  return std::make_unique<SparseQuantizedWeight>(std::move(codes), scheme.sparsity->layout,
                                                 activations);
}

}  // namespace terse
