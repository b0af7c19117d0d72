#include "terse/model/weights/sparse.h"

#include <map>

#include "terse/core/error.h"
#include "terse/formats/sparse_packed.h"
#include "terse/formats/terse_config.h"

namespace terse {
namespace {

// Modules of which config.json says under one of two keys that they are sparse.
class SparseFormat : public WeightFormat {
 public:
  SparseFormat(const TerseConfig& config, std::optional<SparseLayout> legacy) : legacy_(legacy) {
    for (const StorageGroup& group : config.groups) {
      const auto scheme =
          with_context("terse_config", [&] { return parse_sparse_scheme(group.storage); });
      if (!scheme) continue;
      for (const std::string& target : group.targets) modules_.emplace(target, *scheme);
    }
  }

  std::string kind(const WeightSource& source, const WeightLoader& /*loader*/) const override {
    const bool masked = source.checkpoint.contains(source.module + ".bitmask");
    if (!masked && !modules_.contains(source.module)) return "";
    const SparseScheme scheme = scheme_of(source);
    if (scheme.quantization) return scheme_kind(*scheme.quantization, scheme.layout);
    const DType dtype = source.checkpoint.dtype(source.module + ".compressed");
    return fmt::format("{} {}", dtype_torch_name(dtype), layout_name(scheme.layout));
  }

  std::unique_ptr<Weight> load(const WeightSource& source,
                               const WeightLoader& loader) const override {
    const auto lookup = [&](const std::string& name) { return source.checkpoint.tensor(name); };
    const SparseScheme scheme = scheme_of(source);
    if (!scheme.quantization) {
      return std::make_unique<SparseWeight>(unpack_sparse(source.module, scheme.layout, lookup));
    }
    return std::make_unique<SparseQuantizedWeight>(
        unpack_sparse_quantized(source.module, *scheme.quantization, scheme.layout, lookup),
        scheme.layout, loader.activations());
  }

 private:
  SparseScheme scheme_of(const WeightSource& source) const {
    const auto found = modules_.find(source.module);
    if (found != modules_.end()) return found->second;
    if (legacy_) return {*legacy_, {}};
    throw bad_input("{}: is sparse, but config.json does not say how", source.module);
  }

  std::map<std::string, SparseScheme> modules_;
  std::optional<SparseLayout> legacy_;
};

const WeightFormatRegistration registration(
    [](const Json& config) -> std::unique_ptr<WeightFormat> {
      const TerseConfig ours = TerseConfig::of(config);
      std::optional<SparseLayout> legacy;
      if (has_key(config, "quantization_config")) {
        legacy = with_context("quantization_config", [&] {
          return legacy_sparse_layout(get_object(config, "quantization_config"));
        });
      }
      if (ours.groups.empty() && !legacy) return nullptr;
      return std::make_unique<SparseFormat>(ours, legacy);
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
  return to_json(SparseScheme{matrix_.layout, {}});
}

std::vector<NamedTensor> SparseQuantizedWeight::tensors(const std::string& module) const {
  const QuantizedMatrix matrix = quantized();
  SparseMask mask = nonzero_mask(matrix);
  if (layout_ == SparseLayout::two_four && !mask.fits_two_four()) {
    throw failure("{}: more than two of four codes are not zero", module);
  }
  return pack_sparse_quantized(module, matrix, std::move(mask), layout_);
}

Json SparseQuantizedWeight::config() const {
  return to_json(SparseScheme{layout_, scheme()});
}

}  // namespace terse
