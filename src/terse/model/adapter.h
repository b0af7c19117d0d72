// Adapters of PEFT's format and the linears of a model that they are for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "terse/formats/peft_adapter.h"
#include "terse/model/model.h"

namespace terse {

/// What transformers calls a linear of a block in a causal language model, and PEFT with it. Files
/// may leave the first part out: see Model::linear_module.
std::string transformers_module(const Architecture& architecture, std::int64_t block,
                                const LinearKey& key);

/// What `target_modules` must say for adapters of these linears, named as by transformers_module:
/// the last part of their names where every linear that ends so has one, else whole names.
std::vector<std::string> target_modules(const Architecture& architecture,
                                        const std::set<std::string>& adapted);

/// The modules of an adapter by the names that the model's checkpoint has for them: linears of the
/// blocks, and a head with a weight of its own. Errors: bad_input for an adapter of another base: a
/// module that the model does not have (with the nearest that it has) and shapes that do not fit
/// (found and expected).
std::map<std::string, PeftModule> fit_adapter(const Model& model, const PeftAdapter& adapter);

/// W + scale B A (Hu et al., arXiv 2106.09685, equation 3); with a magnitude m, the rows w of that
/// sum as m w / |w| (Liu et al., arXiv 2402.09353, equation 5). All threads.
Matrix with_adapter(Matrix weight, const PeftModule& adapter);

/// A stored weight with an adapter merged into it. Real numbers give real numbers of `dtype`,
/// stored [in, out] when `transposed`; integers a LowRankSum with factors of `dtype`, or with DoRA
/// real numbers. With `dequantize` all give real numbers. Errors: bad_input for weights that can
/// only give these (sparse ones, and sums that there are already) without `dequantize`.
std::shared_ptr<Weight> merge_adapter(const std::shared_ptr<Weight>& base,
                                      const PeftModule& adapter, DType dtype, bool transposed,
                                      bool dequantize);

}  // namespace terse
