// Activations of groups of calibration windows, in memory as far as a budget goes and beyond that
// in a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "terse/core/tensor.h"

namespace terse {

/// What is known of a group between two stages of a block: the residual stream [rows, hidden], what
/// the linears of the next stage read [rows, inputs] (empty between blocks) and, where these are
/// experts, which rows they take (Forward::State).
struct Activations {
  Matrix residual;
  Matrix input;
  Matrix routes = {};
};

struct ActivationStoreSettings {
  /// Groups whose matrices may have this many values together; `memory` is shared out by it.
  std::int64_t group_values = 0;
  std::uint64_t memory = ~std::uint64_t{0};  ///< Bytes that may be held.
  std::filesystem::path directory = {};      ///< Where the file goes, when there must be one.
};

/// One slot for each group. Errors of all functions: failed when the disk is full.
class ActivationStore {
 public:
  ActivationStore(std::int64_t groups, const ActivationStoreSettings& settings);
  ~ActivationStore();
  ActivationStore(ActivationStore&&) noexcept;
  ActivationStore& operator=(ActivationStore&&) noexcept;

  /// The activations leave the store: a slot is either taken or put back.
  Activations take(std::int64_t group);
  void put(std::int64_t group, Activations activations);

  /// A copy of the residual stream of a group.
  Matrix residual(std::int64_t group) const;

  /// Groups that are kept in the file.
  std::int64_t spilled() const;

 private:
  class File;
  struct Slot {
    Activations held;
    Shape residual = {0, 0};  ///< Shapes of what the file holds.
    Shape input = {0, 0};
    Shape routes = {0, 0};
  };

  bool is_held(std::int64_t group) const { return group < held_; }

  std::vector<Slot> slots_;
  std::int64_t held_;  ///< The first so many groups stay in memory.
  std::unique_ptr<File> file_;
};

}  // namespace terse
