// What a method that makes a model smaller in shape is to its callers: it looks at the model, then
// chooses the units that stay.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "terse/core/method_registry.h"
#include "terse/methods/evaluator.h"
#include "terse/methods/input_statistics.h"
#include "terse/methods/shape/compensation.h"
#include "terse/model/kept_units.h"
#include "terse/model/shared_linears.h"

namespace terse {

/// What a shape method must see before it chooses.
struct ShapeNeeds {
  bool weights = false;         ///< Every block, one after another.
  StatisticsNeeds inputs = {};  ///< And the inputs of its stages.
  bool flow = false;            ///< And what goes into it and comes out.
  bool evaluator = false;       ///< The whole model at once, with an Evaluator.
  bool residual = false;        ///< The residual stream, while it is turned (residual_width).

  bool calibrated() const { return inputs.any() || flow || evaluator || residual; }
};

/// A block of the model as it is, and statistics of the inputs of its stages.
struct BlockView {
  using Weights = std::function<Matrix(std::int64_t block, LinearRole role)>;

  std::int64_t index;
  const Architecture& architecture;
  const Block& block;
  const std::map<StageInput, InputStatistics>& inputs;
  Weights weight = {};  ///< While blocks are rewritten: of any linear, dense, as it was before.
};

/// The residual stream at a block: rows are tokens, `window` of them to a sequence.
struct BlockFlow {
  std::int64_t index;
  const Matrix& before;  ///< [rows, hidden]
  const Matrix& after;
  std::int64_t window;
};

/// A method that chooses units of a model. It opens no file and prints nothing. One object serves
/// one choice.
class ShapeMethod {
 public:
  virtual ~ShapeMethod() = default;

  virtual ShapeNeeds needs() const { return {}; }

  /// Called for every block in order, where the needs ask for it; the flow of one block may come in
  /// several pieces.
  virtual void look_at(const BlockView& /*view*/) {}
  virtual void look_at(const BlockFlow& /*flow*/) {}

  /// What stays, for keep_units. Before anything was looked at the sizes are what they would be if
  /// all units were alike. Errors: bad_usage for what the model has not or cannot be reached; says
  /// what it has, or the nearest that can.
  virtual std::vector<KeptBlock> kept(const Architecture& architecture) const = 0;

  /// The same by trial, where the needs ask for an evaluator. `model` is loaded.
  virtual std::vector<KeptBlock> kept(const Model& model, Evaluator& evaluator) const;

  /// How often it asks the evaluator at most, in the same order whenever it is called.
  virtual std::int64_t most_evaluations(const Architecture& /*architecture*/) const { return 0; }

  /// Whether blocks are rewritten before they are cut, and what must be known of their inputs then.
  virtual std::optional<StatisticsNeeds> rewriting() const { return {}; }

  /// Changes linears of a block so that what goes is not missed; the shape stays. They become dense
  /// float32, or share weights with linears of earlier blocks. `view.inputs` as the rewriting asks
  /// for.
  virtual void rewrite(const BlockView& /*view*/, Block& /*block*/) const {}

  /// Whether linears are solved for anew beside the model as it was (`resolved`), so that they give
  /// most nearly what they gave: o_proj once the rest of a block was rewritten, or all of them
  /// where hidden channels go.
  virtual bool resolves() const { return false; }

  /// Linears that will have their weights from others, where the rewriting leaves any.
  virtual std::vector<SharedLinear> shared(const Architecture& /*architecture*/) const {
    return {};
  }

  /// Values of the residual stream that stay, where the method turns and cuts it
  /// (recipe/block_slicer.h); and then the directions [hidden, hidden] that it is turned into, the
  /// most important first, from the second moments of its normed rows.
  virtual std::optional<std::int64_t> residual_width(const Architecture& /*architecture*/) const {
    return {};
  }
  virtual Matrix directions(const SecondMoments& /*normed*/) const { return {}; }

  /// What makes up for the units that go, in the linears that read them.
  virtual Compensation compensation() const { return Compensation::none; }
};

using ShapeMethodFactory = std::function<std::unique_ptr<ShapeMethod>(const MethodOptions&)>;

/// A static object in a method's file makes it known: its facts in the core registry, its factory
/// here.
class ShapeMethodRegistration {
 public:
  ShapeMethodRegistration(MethodInfo info, ShapeMethodFactory factory);
};

/// Whether a method looks at calibration text.
bool is_calibrated(const ShapeMethod& method);

/// Whether a method changes the shape of a model.
bool reshapes(const MethodInfo& info);

/// Errors: bad_usage for options that contradict; failed for a method without a factory.
std::unique_ptr<ShapeMethod> make_shape_method(const MethodInfo& info,
                                               const MethodOptions& options);

}  // namespace terse
