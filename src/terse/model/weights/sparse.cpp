#include "terse/model/weights/sparse.h"

#include "terse/core/error.h"
#include "terse/formats/quantization_config.h"
#include "terse/formats/sparse_packed.h"

namespace terse {
namespace {

// Modules with a mask, of which config.json says the layout under one of two keys.
class SparseFormat : public WeightFormat {
 public:
  SparseFormat(SparseConfig config, std::optional<SparseLayout> legacy)
      : config_(std::move(config)), legacy_(legacy) {}

  std::string kind(const WeightSource& source) const override {
    if (!source.checkpoint.contains(source.module + ".bitmask")) return "";
    const SparseGroup group = group_of(source);
    if (group.scheme) return scheme_kind(*group.scheme, group.layout);
    const DType dtype = source.checkpoint.tensor(source.module + ".compressed").dtype();
    return fmt::format("{} {}", dtype_torch_name(dtype), layout_name(group.layout));
  }

  std::unique_ptr<Weight> load(const WeightSource& source) const override {
    const auto lookup = [&](const std::string& name) { return source.checkpoint.tensor(name); };
    const SparseGroup group = group_of(source);
    if (!group.scheme) {
      return std::make_unique<SparseWeight>(unpack_sparse(source.module, group.layout, lookup));
    }
    return std::make_unique<SparseQuantizedWeight>(
        unpack_sparse_quantized(source.module, *group.scheme, group.layout, lookup), group.layout);
  }

 private:
  SparseGroup group_of(const WeightSource& source) const {
    if (const SparseGroup* group = config_.group_for(source.module)) return *group;
    if (legacy_) return {{}, *legacy_, {}};
    throw bad_input("{}: is sparse, but config.json does not say how", source.module);
  }

  SparseConfig config_;
  std::optional<SparseLayout> legacy_;
};

const WeightFormatRegistration registration(
    [](const Json& config) -> std::unique_ptr<WeightFormat> {
      SparseConfig ours;
      std::optional<SparseLayout> legacy;
      if (has_key(config, "terse_config")) {
        ours = SparseConfig::parse(get_object(config, "terse_config"));
      }
      if (has_key(config, "quantization_config")) {
        legacy = with_context("quantization_config", [&] {
          return legacy_sparse_layout(get_object(config, "quantization_config"));
        });
      }
      if (ours.groups.empty() && !legacy) return nullptr;
      return std::make_unique<SparseFormat>(std::move(ours), legacy);
    });

}  // namespace

void SparseWeight::prepare() {
  if (panels_.rows() != 0) return;
  if (!all_finite(matrix_.values)) {
    throw bad_input("holds NaN or infinity; the checkpoint is damaged");
  }
  panels_ = kernels::Panels::pack(matrix_.dense());
}

void SparseWeight::multiply(const Matrix& x, Matrix& y) const {
  kernels::multiply(x.data(), x.cols(), x.rows(), panels_, y.data(), y.cols());
}

std::vector<NamedTensor> SparseWeight::tensors(const std::string& module) const {
  return pack_sparse(module, matrix_);
}

std::string SparseWeight::kind() const {
  return fmt::format("{} {}", dtype_torch_name(matrix_.values.dtype()),
                     layout_name(matrix_.layout));
}

Json SparseWeight::config() const {
  Json config = Json::object();
  config["layout"] = layout_name(matrix_.layout);
  return config;
}

std::vector<NamedTensor> SparseQuantizedWeight::tensors(const std::string& module) const {
  SparseMask mask = nonzero_mask(quantized());
  if (layout_ == SparseLayout::two_four && !mask.fits_two_four()) {
    throw failure("{}: more than two of four codes are not zero", module);
  }
  return pack_sparse_quantized(module, quantized(), std::move(mask), layout_);
}

Json SparseQuantizedWeight::config() const {
  return {{"layout", layout_name(layout_)}, {"quantization", scheme_json(quantized().scheme)}};
}

}  // namespace terse
