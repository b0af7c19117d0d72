// What a compression method of scope "one block" is to its callers: it rewrites the weights of a
// block before any of its linears is compressed by itself.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/method_registry.h"
#include "terse/methods/input_statistics.h"
#include "terse/methods/method.h"
#include "terse/model/model.h"

namespace terse {

/// One block handed to a method: weights, biases and norms that it may change, and the statistics
/// of the inputs of each stage with the weights as they are.
struct BlockProblem {
  std::int64_t index;
  const Architecture& architecture;
  Block& block;
  const std::map<StageInput, InputStatistics>& inputs;
  /// Linears that the step was aimed at, by role; others must keep computing what they did.
  std::function<bool(LinearRole)> chosen;
  /// Type that the block's norms and biases are stored in: what is changed is rounded to it here,
  /// so that the block computes what a reader of the output will.
  DType vector_dtype = DType::f32;
};

/// What was done, or why not, at one place of a block.
struct BlockReport {
  std::string place;    ///< "model.layers.0.mlp.down_proj".
  std::string outcome;  ///< "scaled through up_proj", "skipped: no scale passes through gelu".
  bool skipped = false;
};

/// A method that changes one block at a time. It opens no file and prints nothing.
class BlockMethod {
 public:
  virtual ~BlockMethod() = default;

  /// Replaces weights, biases and norms of the block. Errors name the module.
  virtual std::vector<BlockReport> transform(BlockProblem problem) const = 0;
};

using BlockMethodFactory =
    std::function<std::unique_ptr<BlockMethod>(const MethodOptions&, const MethodContext&)>;

/// Makes the block part of a method known. A method that has a linear part too registers its facts
/// there (LinearMethodRegistration) and only its factory here.
class BlockMethodRegistration {
 public:
  BlockMethodRegistration(MethodInfo info, BlockMethodFactory factory);
  BlockMethodRegistration(std::string name, BlockMethodFactory factory);
};

/// The block part of a method, or null where it has none.
std::unique_ptr<BlockMethod> make_block_method(std::string_view name, const MethodOptions& options,
                                               const MethodContext& context);

}  // namespace terse
