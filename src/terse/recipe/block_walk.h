// The blocks of a model through a worker, one after another, into a pass of a journal.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <string>

#include "terse/formats/checkpoint.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/calibration_stream.h"
#include "terse/recipe/journal.h"

namespace terse {

/// Goes on where the journal's pass ends. Every block is written while the next one is computed.
class BlockWalk {
 public:
  /// `base` is what the parts of the journal lie over; `on_part` is called when a part counts.
  /// Activations are kept when `activation_interval` seconds have passed since they last were. All
  /// must outlive the walk.
  BlockWalk(const Checkpoint& base, Journal& journal, std::size_t pass, double activation_interval,
            std::function<void()> on_part);

  /// `stream` is null when nothing is calibrated. Errors: as those of the worker; failed when the
  /// disk is full.
  void run(Model& model, CalibrationStream* stream, BlockWorker& worker);

 private:
  using Clock = std::chrono::steady_clock;

  void load(Model& model, std::int64_t block, bool prepare);
  void resume(Model& model, CalibrationStream& stream) const;
  void write(std::int64_t block, BlockResult result, const CalibrationStream* stream);
  bool activations_are_due() const;
  void keep_activations(std::int64_t block, const CalibrationStream& stream);
  void wait();

  const Checkpoint& base_;
  Journal& journal_;
  std::size_t pass_;
  double activation_interval_;
  std::function<void()> on_part_;
  Clock::time_point kept_at_;
  std::future<void> writing_;  // last: it uses the others, and is waited for when it goes
};

}  // namespace terse
