// What a compression method of scope "one linear" is to its callers, and how one is found.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/method_registry.h"
#include "terse/core/tensor.h"
#include "terse/formats/importance_file.h"
#include "terse/methods/input_statistics.h"
#include "terse/methods/linear_result.h"
#include "terse/model/architecture.h"

namespace terse {

/// One linear handed to a method: its weight [out, in], and what the method declared that it needs.
struct LinearProblem {
  std::string name;  ///< For messages.
  Matrix weight;
  const InputStatistics* inputs = nullptr;  ///< As much as the method declared that it needs.
  bool keep_zeros = false;  ///< Zeros of the weight were pruned by an earlier step and stay zeros.
  std::optional<LinearRole> role = {};  ///< Of a block's linear.
  Matrix importance = {};  ///< [out, in]: the scores that the method asked for; finite, not < 0.
};

/// A method that changes one linear at a time. It opens no file, prints nothing and may be used
/// for many linears.
class LinearMethod {
 public:
  virtual ~LinearMethod() = default;

  /// What the options ask to know of the inputs besides what the method always needs
  /// (MethodInfo::need).
  virtual StatisticsNeeds needs() const { return {}; }

  /// Which scores of its weight it must be handed (MethodNeed::importance).
  virtual std::optional<ImportanceScore> importance() const { return {}; }

  /// Whether its results are integers, after which nothing may come.
  virtual bool quantizes() const { return false; }

  /// Whether zeros that an earlier step has made do not stay zeros.
  virtual bool fills_zeros() const { return false; }

  /// Errors: bad_usage when an option does not fit the shape, bad_input when a weight is not
  /// finite, failed when what the method needs is absent; each names the linear.
  virtual LinearResult compress(LinearProblem problem) const = 0;

  /// Whether a weight [rows, columns] can be compressed at all, before anything is computed.
  /// Errors: bad_usage naming the linear, as compress() would.
  virtual void check(const std::string& /*name*/, std::int64_t /*rows*/,
                     std::int64_t /*columns*/) const {}

  /// Bytes that compress() works in for a weight [rows, columns], beyond a copy of the weight and
  /// of the second moments, which every method may have.
  virtual std::uint64_t working_bytes(std::int64_t /*rows*/, std::int64_t /*columns*/) const {
    return 0;
  }

  /// Shapes of the matrices that compress() leaves to later steps in place of a weight [rows,
  /// columns]: the weight itself, or its parts in their order.
  virtual std::vector<Shape> parts(std::int64_t rows, std::int64_t columns) const {
    return {{rows, columns}};
  }

  /// Linears that read the same input (one `inputs` for all), together: what depends only on the
  /// input may be computed once. The results are those of compress(), which is the default.
  virtual std::vector<LinearResult> compress_all(std::vector<LinearProblem> problems) const;
};

/// Facts of a run that are no options of a method.
struct MethodContext {
  DType model_dtype = DType::f32;  ///< The type that the checkpoint stores weights in.
};

using LinearMethodFactory =
    std::function<std::unique_ptr<LinearMethod>(const MethodOptions&, const MethodContext&)>;

/// A static object of this type in a method's file makes the method known: its facts in the core
/// registry, its factory here.
class LinearMethodRegistration {
 public:
  LinearMethodRegistration(MethodInfo info, LinearMethodFactory factory);
};

/// Whether a method has a part that changes one linear at a time.
bool has_linear_method(std::string_view name);

/// Errors: bad_usage for a name without a factory, with the nearest known one.
std::unique_ptr<LinearMethod> make_linear_method(std::string_view name,
                                                 const MethodOptions& options,
                                                 const MethodContext& context);

}  // namespace terse
