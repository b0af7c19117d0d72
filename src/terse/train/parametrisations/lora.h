// Low-rank adapters over a weight that does not change.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "terse/formats/peft_adapter.h"
#include "terse/train/parametrisation.h"

namespace terse::train {

/// In the words of PEFT's LoraConfig.
struct LoraSettings {
  std::int64_t r = 16;
  double lora_alpha = 32;
  bool use_rslora = false;  ///< Scale alpha / sqrt(r), not alpha / r (Kalajdzievski, 2312.03732).
  bool use_dora = false;    ///< Trained lengths of rows (Liu et al., DoRA, arXiv 2402.09353).

  double scale() const;
};

/// Factors of an adapter: A [r, in], B [out, r]; with DoRA the lengths of rows [out], those that
/// the rows have where it is empty.
struct LoraFactors {
  Matrix a;
  Matrix b;
  Vector magnitude = {};
};

/// A is uniform within sqrt(1 / in) of zero, as PEFT and the paper's code have it, B zero: the
/// weight begins as it was.
LoraFactors fresh_factors(std::int64_t rows, std::int64_t columns, std::int64_t r,
                          std::uint64_t seed);

/// W = base + scale B A (Hu et al., arXiv 2106.09685, equation 3). With `keep_zeros` the zeros of
/// the base stay zero, in training and after. Folds into one dense or sparse matrix over a base of
/// real numbers; over integers into the sum of the base and the factors (QLoRA, arXiv 2305.14314),
/// or into a dense matrix too where `merge` says so.
std::unique_ptr<Parametrisation> lora_parametrisation(std::shared_ptr<Weight> base,
                                                      const LoraSettings& settings,
                                                      const LoraFactors& factors, bool keep_zeros,
                                                      bool merge, const torch::Device& device);

/// The adapter of a linear, in float32, where its weight is a `lora_parametrisation`. Not of masked
/// ones: PEFT's format has no masks.
std::optional<PeftModule> trained_adapter(const std::string& name, const Parametrisation& weight);

}  // namespace terse::train
