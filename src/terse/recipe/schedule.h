// A recipe applied to a model: which methods work on which linear, checked before anything is
// computed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "terse/methods/allocation.h"
#include "terse/methods/block_method.h"
#include "terse/methods/method.h"
#include "terse/recipe/recipe.h"
#include "terse/recipe/selector.h"

namespace terse {

/// Share by module that an allocation found, for each step of a pass that has one.
using AllocatedShares = std::map<std::size_t, std::map<std::string, double>>;

/// A step as it works on one linear.
struct LinearStep {
  std::size_t step;  ///< Of the pass.
  const MethodInfo* info;
  std::shared_ptr<const LinearMethod> method;  ///< Shared by linears with the same options.

  StatisticsNeeds needs() const;
};

/// Shapes of the matrices that steps leave of a weight [rows, columns].
std::vector<Shape> parts_after(std::span<const LinearStep> steps, std::int64_t rows,
                               std::int64_t columns);

/// A step as it works on a block.
struct BlockStep {
  std::size_t step;
  const MethodInfo* info;
  std::shared_ptr<const BlockMethod> method;
  StatisticsNeeds needs;
};

/// An allocation that a step asks for, and the linears that it looks at.
struct AllocationStep {
  std::size_t step;
  std::unique_ptr<Allocation> allocation;
};

/// The steps of one pass over a model.
class Schedule {
 public:
  /// `calibration_tokens` is 0 when nothing is calibrated; `earlier` is the pass before. Errors:
  /// bad_usage for selectors that match nothing, options that do not fit a shape, and steps that
  /// contradict each other; each names the step or the linear.
  Schedule(const Model& model, std::span<const RecipeStep> steps, std::int64_t calibration_tokens,
           const AllocatedShares& shares = {}, const Schedule* earlier = nullptr);

  /// Steps of a linear, in their order; empty when none is for it.
  const std::vector<LinearStep>& linear_steps(std::int64_t block, const LinearKey& key) const;

  const std::vector<BlockStep>& block_steps() const { return block_steps_; }

  /// The step that reconstructs blocks, alone in its pass; null where there is none.
  const RecipeStep* reconstruction() const;

  /// Whether a step is for a linear.
  bool chosen(std::size_t step, std::int64_t block, const LinearKey& key) const;

  /// Whether a step is for any linear of a block.
  bool chosen(std::size_t step, std::int64_t block) const;

  /// Whether a step of an earlier pass changed a block as a whole: its weights were scaled.
  bool scaled_before(std::int64_t block) const { return scaled_before_.contains(block); }

  /// Whether an earlier pass pruned a linear: its zeros stay zeros.
  bool pruned_before(std::int64_t block, const LinearKey& key) const;

  /// Whether an earlier pass quantised a linear.
  bool coded_before(std::int64_t block, const LinearKey& key) const;

  /// Whether an earlier pass took a linear apart into several matrices.
  bool apart_before(std::int64_t block, const LinearKey& key) const;

  /// What the steps of the linears that read an input need to know of it.
  StatisticsNeeds needs(std::int64_t block, const StageInput& input) const;

  /// What is taken of an input where there is any: what is needed; where nothing is, second
  /// moments, as text that was given without need is there to measure output errors.
  StatisticsNeeds statistics(std::int64_t block, const StageInput& input) const;

  /// Whether a step asks how the inputs of a block, or of any, have moved since the pass began.
  bool shifts(std::int64_t block) const;
  bool shifts() const;

  /// Allocations that are to be made first; made anew by each call.
  std::vector<AllocationStep> allocations() const;

  /// What a person should know: "damping was raised, since …".
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  struct Entry {
    std::set<std::size_t> chosen;
    std::vector<LinearStep> steps;
    bool pruned_before = false;  // by an earlier pass
    bool coded_before = false;
    bool apart_before = false;
    bool pruned = false;  // by this or an earlier pass
    bool coded = false;
    std::vector<Shape> parts = {};  // the matrices that the next step works on

    bool apart() const { return apart_before || parts.size() > 1; }
  };

  void begin_after(const Schedule& earlier);
  void choose(const Model& model);
  void build(const Model& model, const AllocatedShares& shares);
  const MethodInfo& info_of(std::size_t step) const;
  void add_learning_step(const LinearPlace& place, std::size_t step, Entry& entry) const;
  void add_linear_step(const LinearPlace& place, std::size_t step, const AllocatedShares& shares,
                       Entry& entry);
  std::map<std::string, std::string> options_of(std::size_t step, const LinearPlace& place) const;
  std::int64_t tokens_of(const LinearPlace& place) const;
  void raise_damping(const MethodInfo& info, const LinearPlace& place,
                     std::map<std::string, std::string>& options);
  void check_order(const LinearPlace& place, const Entry& entry, const MethodInfo& info,
                   bool quantizes) const;
  void check_unscaled(const LinearPlace& place, const MethodInfo& info,
                      const LinearMethod& method) const;
  static void check_whole(const LinearPlace& place, const Entry& entry, const MethodInfo& info);
  void check_parts(const LinearPlace& place, const Entry& entry, const MethodInfo& info,
                   const LinearMethod& method) const;
  const Entry& entry(std::int64_t block, const LinearKey& key) const {
    return entries_.at({block, key});
  }
  Entry& entry_of(const LinearPlace& place) { return entries_[{place.block, place.key()}]; }

  const Architecture* architecture_;
  MethodContext context_;
  std::vector<RecipeStep> steps_;
  std::int64_t calibration_tokens_;
  std::map<std::pair<std::int64_t, LinearKey>, Entry> entries_;
  std::map<std::pair<std::size_t, std::map<std::string, std::string>>,
           std::shared_ptr<const LinearMethod>>
      methods_;
  std::vector<BlockStep> block_steps_;
  std::set<std::int64_t> scaled_before_;
  std::vector<std::string> notes_;
};

/// Whether a run of a recipe is calibrated: a step needs activations, or text or tokens were given,
/// which then serve to measure the output errors of the report.
bool is_calibrated(const Recipe& recipe);

/// Whether a pass is a step that learns.
bool learns(const std::vector<RecipeStep>& pass);

/// Whether a pass is a step that reconstructs blocks.
bool reconstructs(const std::vector<RecipeStep>& pass);

/// The steps of a recipe cut where activations are measured again; a step that learns or
/// reconstructs blocks is a pass by itself. Those that change the shape come before all passes
/// (reshape.h).
std::vector<std::vector<RecipeStep>> passes_of(const Recipe& recipe);

}  // namespace terse
