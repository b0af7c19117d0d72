// Signed gradient steps on roundings and ranges (Cheng et al., arXiv 2309.05516, algorithm 1).
#include <fmt/format.h>

#include <cmath>

#include "terse/core/error.h"
#include "terse/train/device.h"
#include "terse/train/loop/packed_tokens.h"
#include "terse/train/methods/reconstruction_method.h"
#include "terse/train/parametrisations/dense.h"
#include "terse/train/parametrisations/tuned_rounding.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

struct Settings {
  std::int64_t iters;
  double lr;
  double minmax_lr;
  std::int64_t batch_size;
  std::uint64_t seed;
};

Settings settings_of(const ReconstructionProblem& problem) {
  const MethodOptions& options = problem.options;
  Settings s{options.integer("iters"), options.number("lr"), options.number("minmax_lr"),
             std::min(options.integer("batch_size"), problem.windows),
             static_cast<std::uint64_t>(options.integer("data_seed"))};
  if (s.lr == 0) s.lr = 1.0 / static_cast<double>(std::max<std::int64_t>(1, s.iters));
  if (s.minmax_lr == 0) s.minmax_lr = s.lr;
  return s;
}

// The block of a problem with the rounding of its linears as parameters.
class TunedBlock {
 public:
  explicit TunedBlock(const ReconstructionProblem& problem)
      : problem_(problem), model_(make(parse_device(problem.options.text("device")))) {}

  double add_error(const std::vector<std::int64_t>& windows) {
    return add_block_error(problem_, model_, windows);
  }

  void step(double rate, double range_rate) {
    for (auto& entry : tuned_) entry.second->step_by_sign(rate, range_rate);
  }

  std::map<LinearKey, QuantizedMatrix> integers() const {
    std::map<LinearKey, QuantizedMatrix> results;
    for (const auto& [key, rounding] : tuned_) results[key] = rounding->integers();
    return results;
  }

 private:
  TrainableModel make(const torch::Device& device) {
    const TrainingChoice choice{
        [this, device](std::int64_t, const LinearKey& key,
                       const Linear& linear) -> std::unique_ptr<Parametrisation> {
          const auto found = problem_.linears.find(key);
          if (found == problem_.linears.end()) {
            return fixed_parametrisation(linear.weight, device);
          }
          auto rounding =
              std::make_unique<TunedRounding>(linear.weight->dense(), found->second, device);
          tuned_[key] = rounding.get();
          return rounding;
        },
        false, false};
    return {problem_.model, problem_.block, choice, device};
  }

  const ReconstructionProblem& problem_;
  std::map<LinearKey, TunedRounding*> tuned_;  // of the model's
  TrainableModel model_;
};

class AutoRound : public ReconstructionMethod {
 public:
  std::map<LinearKey, QuantizedMatrix> reconstruct(const ReconstructionProblem& problem,
                                                   Progress& progress) const override {
    prepare_threads();
    const Settings s = settings_of(problem);
    TunedBlock block(problem);
    ShuffledOrder order(problem.windows, s.seed);
    for (std::int64_t step = 0; step < s.iters; ++step) {
      const double error = block.add_error(order.at(step * s.batch_size, s.batch_size));
      if (!std::isfinite(error)) {
        throw failure("block {}, step {}: the error of its outputs is not finite", problem.block,
                      step + 1);
      }
      const double left = 1.0 - static_cast<double>(step) / static_cast<double>(s.iters);
      block.step(s.lr * left, s.minmax_lr * left);
      progress.note(fmt::format("block {}, step {} of {}, error {:.4g}", problem.block, step + 1,
                                s.iters, error));
    }
    return block.integers();
  }
};

const ReconstructionMethodEntry<AutoRound> autoround_entry("autoround");

}  // namespace
}  // namespace terse::train
