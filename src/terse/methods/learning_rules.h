// What a recipe must know of a method that learns, before and without its work (train/methods).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "terse/core/method_registry.h"
#include "terse/model/model.h"

namespace terse {

/// A linear that a step is aimed at, as the steps before leave it.
struct LearnedLinear {
  std::string module;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  bool pruned = false;
  bool coded = false;  ///< Its weight is integers.
  bool apart = false;  ///< Its weight is several matrices.
};

/// A step before anything is computed.
struct LearningStep {
  const MethodOptions& options;
  const Model& model;  ///< Opened, not loaded: what the first pass works on.
  std::vector<LearnedLinear> linears;
  std::vector<const MethodInfo*> before;  ///< Methods of the recipe's earlier steps.

  bool is_aimed_at(const std::string& module) const;
};

/// Everything has a default: a method says what it departs in.
class LearningRules {
 public:
  virtual ~LearningRules() = default;

  /// Whether it learns what a teacher predicts.
  virtual bool from_teacher(const MethodOptions& /*options*/) const { return false; }

  /// Whether it leaves an adapter beside the weights (LearnedModel::adapter).
  virtual bool saves_adapter(const MethodOptions& /*options*/) const { return false; }

  /// Files that it reads, besides text and models.
  virtual std::vector<std::filesystem::path> files(const MethodOptions& /*options*/) const {
    return {};
  }

  /// Errors: bad_usage for options that do not fit the step, naming the linear; bad_input for its
  /// files.
  virtual void check(const LearningStep& /*step*/) const {}
};

/// Makes a method that learns known: a static object in the method's file.
struct LearningMethodRegistration {
  explicit LearningMethodRegistration(
      MethodInfo info, std::unique_ptr<LearningRules> rules = std::make_unique<LearningRules>());
};

/// Whether a method trains the whole model.
bool learns(const MethodInfo& info);

/// Whether a method trains block by block what its linear part begins with.
bool reconstructs(const MethodInfo& info);

/// Whether a method does nothing to a weight but round it.
bool only_rounds(const MethodInfo& info);

/// The rules of a method; those without a departure where it has none of its own.
const LearningRules& learning_rules(const MethodInfo& info);

}  // namespace terse
