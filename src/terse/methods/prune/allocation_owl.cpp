// OWL: blocks with more outliers among |W| ||X|| stay denser. Yin et al., Outlier Weighed Layerwise
// Sparsity, ICML 2024 (arXiv:2310.05175), section 3.2 ("layer" there is a transformer block), with
// the scaling of the published code.
#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/allocation.h"
#include "terse/methods/prune/smallest.h"

namespace terse {
namespace {

// Scores are counted in bins of exponent and nine bits of the mantissa, so that a block need not be
// kept until its mean is known.
constexpr int kBinShift = 14;
constexpr std::size_t kBins = std::size_t{1} << (31 - kBinShift);

float bin_start(std::size_t bin) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bin) << kBinShift);
}

// Scores of the weights of a block.
class Scores {
 public:
  Scores() : bins_(kBins, 0) {}

  void add(float score) {
    ++bins_[magnitude_bits(score) >> kBinShift];
    sum_ += score;
    ++count_;
  }

  void add(const Scores& other) {
    for (std::size_t bin = 0; bin < kBins; ++bin) bins_[bin] += other.bins_[bin];
    sum_ += other.sum_;
    count_ += other.count_;
  }

  std::int64_t count() const { return count_; }

  // Share of the scores above `multiple` times their mean; within a bin they count as evenly
  // spread.
  double outlier_share(double multiple) const {
    if (count_ == 0) return 0.0;
    const double threshold = multiple * sum_ / static_cast<double>(count_);
    const auto bin =
        static_cast<std::size_t>(magnitude_bits(static_cast<float>(threshold)) >> kBinShift);
    double above = 0.0;
    for (std::size_t other = bin + 1; other < kBins; ++other) {
      above += static_cast<double>(bins_[other]);
    }
    if (bins_[bin] > 0) {
      const double start = bin_start(bin);
      const double end = bin_start(bin + 1);
      above += static_cast<double>(bins_[bin]) * (end - threshold) / (end - start);
    }
    return above / static_cast<double>(count_);
  }

 private:
  std::vector<std::int64_t> bins_;
  double sum_ = 0.0;
  std::int64_t count_ = 0;
};

// Parts of a weight that are counted side by side; each has its own bins.
constexpr std::int64_t kChunks = 4;

void add_scores(const LinearProblem& linear, Scores& scores) {
  const Matrix& weight = linear.weight;
  const InputStatistics& inputs = *linear.inputs;
  Vector norms(weight.cols());
  // Per token, so that linears that saw different numbers of tokens compare.
  const double tokens = std::max(1.0, static_cast<double>(inputs.tokens()));
  for (std::int64_t c = 0; c < weight.cols(); ++c) {
    norms[c] = static_cast<float>(std::sqrt(inputs.squared_norm(c) / tokens));
  }
  std::vector<Scores> parts(kChunks);
  parallel_for(kChunks, [&](std::int64_t chunk) {
    Scores& part = parts[static_cast<std::size_t>(chunk)];
    const std::int64_t end = (chunk + 1) * weight.rows() / kChunks;
    for (std::int64_t r = chunk * weight.rows() / kChunks; r < end; ++r) {
      for (std::int64_t c = 0; c < weight.cols(); ++c) {
        part.add(std::abs(weight(r, c)) * norms[c]);
      }
    }
  });
  for (const Scores& part : parts) scores.add(part);
}

struct Block {
  std::int64_t index = 0;
  std::vector<std::string> linears = {};
  double weights = 0.0;  // number of them
  double share = 0.0;    // of outliers
};

double weighted_mean(const std::vector<Block>& blocks, const std::vector<double>& values) {
  double sum = 0.0;
  double weights = 0.0;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    sum += blocks[b].weights * values[b];
    weights += blocks[b].weights;
  }
  return sum / weights;
}

// The values shifted together, and held within 0 and 1, so that their mean is `target`.
std::vector<double> shifted_to_mean(const std::vector<Block>& blocks,
                                    const std::vector<double>& values, double target) {
  std::vector<double> shifted(values.size());
  const auto shift = [&](double by) {
    std::ranges::transform(values, shifted.begin(),
                           [&](double value) { return std::clamp(value + by, 0.0, 1.0); });
    return weighted_mean(blocks, shifted);
  };
  const auto [low, high] = std::ranges::minmax(values);
  double below = -high;      // all 0
  double above = 1.0 - low;  // all 1
  for (int step = 0; step < 100; ++step) {
    const double middle = 0.5 * (below + above);
    (shift(middle) < target ? below : above) = middle;
  }
  shift(above);
  return shifted;
}

// Shares scaled to a spread of 2 lambda; those with most outliers get the lowest sparsity.
std::vector<double> sparsities_of(const std::vector<Block>& blocks, double target, double lambda) {
  const auto [low, high] = std::ranges::minmax_element(blocks, {}, &Block::share);
  const double range = high->share - low->share;
  std::vector<double> values;
  for (const Block& block : blocks) {
    const double scaled = range > 0.0 ? (block.share - low->share) / range : 0.0;
    values.push_back(target - 2.0 * lambda * scaled);
  }
  return shifted_to_mean(blocks, values, target);
}

class OutlierWeighed : public Allocation {
 public:
  explicit OutlierWeighed(const MethodOptions& options)
      : sparsity_(options.number("sparsity")),
        lambda_(options.number("owl_lambda")),
        multiple_(options.number("owl_m")) {}

  MethodNeed need() const override { return MethodNeed::input_norms; }

  void visit(std::int64_t block, const LinearProblem& linear) override {
    if (linear.inputs == nullptr) {
      throw failure("{}: norms of the inputs are needed and are absent", linear.name);
    }
    if (blocks_.empty() || blocks_.back().index != block) {
      blocks_.push_back({block});
      scores_ = Scores();
    }
    add_scores(linear, scores_);
    Block& current = blocks_.back();
    current.linears.push_back(linear.name);
    current.weights = static_cast<double>(scores_.count());
    current.share = scores_.outlier_share(multiple_);
  }

  std::map<std::string, double> shares() const override {
    std::map<std::string, double> result;
    if (blocks_.empty()) return result;
    const std::vector<double> values = sparsities_of(blocks_, sparsity_, lambda_);
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      for (const std::string& name : blocks_[b].linears) result[name] = values[b];
    }
    return result;
  }

 private:
  double sparsity_;
  double lambda_;
  double multiple_;
  std::vector<Block> blocks_;
  Scores scores_;  // of the last block
};

const AllocationRegistration kRegistration("owl", "sparsity",
                                           [](const MethodInfo& /*info*/,
                                              const MethodOptions& options) {
                                             return std::make_unique<OutlierWeighed>(options);
                                           });

}  // namespace
}  // namespace terse
