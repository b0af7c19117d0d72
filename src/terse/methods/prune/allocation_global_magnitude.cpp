// One threshold on |w| for all linears: magnitude pruning of the model as a whole.
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/threads.h"
#include "terse/methods/allocation.h"
#include "terse/methods/prune/pruning_options.h"
#include "terse/methods/prune/smallest.h"

namespace terse {
namespace {

// Magnitudes are counted in bins of exponent and seven bits of the mantissa: exact for bfloat16.
constexpr int kBinShift = 16;
constexpr std::size_t kBins = std::size_t{1} << (31 - kBinShift);
constexpr std::int64_t kChunks = 16;

using Histogram = std::vector<std::int64_t>;

Histogram count_magnitudes(const Matrix& weight) {
  std::vector<Histogram> parts(kChunks, Histogram(kBins, 0));
  parallel_for(kChunks, [&](std::int64_t chunk) {
    Histogram& part = parts[static_cast<std::size_t>(chunk)];
    const std::int64_t end = (chunk + 1) * weight.size() / kChunks;
    for (std::int64_t i = chunk * weight.size() / kChunks; i < end; ++i) {
      ++part[magnitude_bits(weight.data()[i]) >> kBinShift];
    }
  });
  Histogram sum(kBins, 0);
  for (const Histogram& part : parts) {
    for (std::size_t bin = 0; bin < kBins; ++bin) sum[bin] += part[bin];
  }
  return sum;
}

// The bins of a linear that are not empty, from the smallest magnitude on: a few thousand.
struct Bin {
  std::uint32_t index;
  std::int64_t count;
};
struct LinearBins {
  std::string name;
  std::int64_t weights;
  std::vector<Bin> bins;

  std::int64_t count_below(std::uint32_t index) const {
    std::int64_t count = 0;
    for (const Bin& bin : bins) count += bin.index < index ? bin.count : 0;
    return count;
  }
  std::int64_t count_at(std::uint32_t index) const {
    return count_below(index + 1) - count_below(index);
  }
};

class GlobalMagnitude : public Allocation {
 public:
  explicit GlobalMagnitude(const MethodOptions& options) : sparsity_(options.number("sparsity")) {}

  MethodNeed need() const override { return MethodNeed::nothing; }

  void visit(std::int64_t /*block*/, const LinearProblem& linear) override {
    const Histogram histogram = count_magnitudes(linear.weight);
    LinearBins own{linear.name, linear.weight.size(), {}};
    for (std::size_t bin = 0; bin < kBins; ++bin) {
      if (histogram[bin] > 0) own.bins.push_back({static_cast<std::uint32_t>(bin), histogram[bin]});
    }
    linears_.push_back(std::move(own));
  }

  std::map<std::string, double> shares() const override {
    const auto [threshold, wanted] = find_threshold();
    std::int64_t left = wanted;
    std::int64_t equal = 0;
    for (const LinearBins& linear : linears_) equal += linear.count_at(threshold);
    std::map<std::string, double> result;
    for (const LinearBins& linear : linears_) {
      // Magnitudes in the bin of the threshold are not told apart: linears share what is still
      // wanted of them by how many they have.
      const std::int64_t own = linear.count_at(threshold);
      const std::int64_t taken =
          own == 0 ? 0
                   : std::llround(static_cast<double>(left) * static_cast<double>(own) /
                                  static_cast<double>(equal));
      equal -= own;
      left -= taken;
      result[linear.name] = static_cast<double>(linear.count_below(threshold) + taken) /
                            static_cast<double>(linear.weights);
    }
    return result;
  }

 private:
  // The bin that the threshold falls into, and how many of its weights are pruned.
  std::pair<std::uint32_t, std::int64_t> find_threshold() const {
    Histogram sum(kBins, 0);
    std::int64_t weights = 0;
    for (const LinearBins& linear : linears_) {
      weights += linear.weights;
      for (const Bin& bin : linear.bins) sum[bin.index] += bin.count;
    }
    std::int64_t wanted = zero_count(weights, sparsity_);
    std::uint32_t bin = 0;
    while (bin + 1 < kBins && sum[bin] < wanted) wanted -= sum[bin++];
    return {bin, wanted};
  }

  double sparsity_;
  std::vector<LinearBins> linears_;
};

const AllocationRegistration kRegistration("global", "sparsity",
                                           [](const MethodInfo& /*info*/,
                                              const MethodOptions& options) {
                                             return std::make_unique<GlobalMagnitude>(options);
                                           });

}  // namespace
}  // namespace terse
