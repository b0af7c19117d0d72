// What becomes of the weight of a linear.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/methods/input_statistics.h"
#include "terse/model/weight.h"

namespace terse {

class CompoundResult;

/// Other real numbers (pruned), codes, or several matrices that make the weight together.
using LinearResult = std::variant<Matrix, QuantizedMatrix, std::shared_ptr<CompoundResult>>;

/// The weight [out, in] that a result stands for, in float32.
Matrix dense_weight(const LinearResult& result);

/// One of the matrices of a weight: later steps work on it as on the weight of a linear.
struct ResultPart {
  std::string suffix;    ///< After the name of the linear, for messages: ".low_rank_a".
  LinearResult* result;  ///< Real numbers.
  /// The statistics of its inputs from those of the linear's; empty: they are the same.
  std::function<InputStatistics(const InputStatistics&)> inputs = {};
};

/// Makes the weight that stores one matrix, real numbers or codes.
using StoreMatrix = std::function<std::unique_ptr<Weight>(LinearResult)>;

/// A weight of a storage kind of its own.
class CompoundResult {
 public:
  virtual ~CompoundResult() = default;

  /// [out, in], in float32.
  virtual Matrix dense() const = 0;

  /// What later steps may change, in the order in which they take it: the inputs of a part depend
  /// on the parts before it. None where the result is final.
  virtual std::vector<ResultPart> parts() { return {}; }

  /// How it is stored; `dtype` is the type that the checkpoint has for real numbers. The result is
  /// used up.
  virtual std::unique_ptr<Weight> weight(const StoreMatrix& store, DType dtype) = 0;
};

}  // namespace terse
