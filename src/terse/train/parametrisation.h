// A trainable weight: a function of parameters that folds back into a Weight.
#pragma once

#include "terse/train/torch.h"

#include <memory>
#include <string>
#include <vector>

#include "terse/model/weight.h"
#include "terse/train/functions/linear.h"

namespace terse::train {

/// A tensor that is trained, by its name.
struct Parameter {
  std::string name;
  torch::Tensor value;
  bool decay = true;           ///< Whether weight decay pulls it towards zero.
  double learning_rate = 1.0;  ///< Factor of the learning rate.
};

/// W [out, in] made from parameters. A kind is one file in parametrisations/.
class Parametrisation {
 public:
  virtual ~Parametrisation() = default;

  /// W, differentiable in the parameters.
  virtual torch::Tensor weight() const = 0;

  /// x W^T + b for x [rows, in]; b [out] may be undefined.
  virtual torch::Tensor apply(const torch::Tensor& x, const torch::Tensor& bias) const {
    return apply_linear(x, weight(), bias);
  }

  /// What is trained; names are those of a module's tensors ("weight", "lora_A.weight").
  virtual std::vector<Parameter> parameters() const = 0;

  /// The weight that the rest of the program stores and runs: it stands for weight() rounded to
  /// `dtype` where its kind stores real numbers. `transposed` where dense ones are stored [in,
  /// out].
  virtual std::shared_ptr<Weight> fold(DType dtype, bool transposed) const = 0;
};

/// Copies of a matrix that does not change, and of one that is trained.
torch::Tensor constant(const Matrix& matrix, const torch::Device& device);
torch::Tensor trained(const Matrix& matrix, const torch::Device& device);

}  // namespace terse::train
