#include "terse/methods/quantize/feedback_panel.h"

#include "terse/methods/quantize/grid.h"

namespace terse {
namespace {

// One step of kPanelLanes rows, which begin at `lane`.
void quantize_step(const FeedbackPanel& panel, std::int64_t k, std::int64_t lane) {
  float sums[kPanelLanes];
  const float* running = panel.running + k * panel.lanes + lane;
  for (std::int64_t r = 0; r < kPanelLanes; ++r) sums[r] = running[r];
  for (std::int64_t i = 0; i < k; ++i) {
    const float factor = panel.upper[k * panel.steps + i];
    const float* errors = panel.errors + i * panel.lanes + lane;
    for (std::int64_t r = 0; r < kPanelLanes; ++r) sums[r] += factor * errors[r];
  }
  const float* scales = panel.scales[k] + lane;
  const float* zeros = panel.zeros[k] + lane;
  float* errors = panel.errors + k * panel.lanes + lane;
  std::uint8_t* codes = panel.codes + k * panel.lanes + lane;
  for (std::int64_t r = 0; r < kPanelLanes; ++r) {
    const float code = grid_code(sums[r], scales[r], zeros[r], panel.top);
    errors[r] -= scales[r] * (code - zeros[r]);
    codes[r] = static_cast<std::uint8_t>(static_cast<std::int32_t>(code));
  }
}

}  // namespace

void quantize_panel(const FeedbackPanel& panel) {
  for (std::int64_t lane = 0; lane < panel.lanes; lane += kPanelLanes) {
    for (std::int64_t k = 0; k < panel.steps; ++k) quantize_step(panel, k, lane);
  }
}

}  // namespace terse
