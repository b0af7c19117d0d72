// Structured pruning of heads and MLP channels: scores of what the linears that read them see, and
// how many of each go.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "terse/core/method_registry.h"
#include "terse/methods/shape_method.h"

namespace terse {

/// Scores the inputs of a linear that reads units: o_proj those of heads, down_proj channels.
class UnitScore {
 public:
  virtual ~UnitScore() = default;

  virtual StatisticsNeeds needs() const { return {}; }

  /// By input of the weight [out, in]: how much is lost without it. `inputs` as needed.
  virtual Eigen::VectorXd scores(const Matrix& weight, const InputStatistics* inputs) = 0;
};

/// How the share that goes is shared out over blocks.
enum class UnitAllocation {
  uniform,   ///< The same of every block.
  adaptive,  ///< Units of all blocks compete: FLAP (An et al. 2023), section 3.3.
};

/// Prunes heads, in groups that share keys and values, and channels by their scores. Options:
/// those of `unit_pruning_options`.
class UnitPruning : public ShapeMethod {
 public:
  /// Errors: bad_usage for options that contradict.
  UnitPruning(std::string name, const MethodOptions& options, std::unique_ptr<UnitScore> score);
  ~UnitPruning() override;

  ShapeNeeds needs() const override;
  void look_at(const BlockView& view) override;
  std::vector<KeptBlock> kept(const Architecture& architecture) const override;
  Compensation compensation() const override { return compensation_; }

 private:
  // Of one block: by key-value head, and by channel.
  struct BlockScores {
    std::vector<double> heads;
    std::vector<double> channels;
  };

  void check_reachable(const Architecture& a) const;
  BlockScores scores_of(const Architecture& a, std::int64_t block) const;
  std::vector<KeptBlock> explicit_sizes(const Architecture& a) const;
  std::vector<KeptBlock> uniform(const Architecture& a) const;
  std::vector<KeptBlock> adaptive(const Architecture& a) const;
  KeptBlock best(const Architecture& a, std::int64_t block, std::int64_t heads,
                 std::int64_t channels) const;
  std::int64_t rounded(double channels, std::int64_t most) const;

  std::string name_;
  std::unique_ptr<UnitScore> score_;
  double ratio_;
  std::int64_t num_attention_heads_;
  std::int64_t intermediate_size_;
  bool of_heads_;
  bool of_channels_;
  UnitAllocation allocation_;
  std::int64_t multiple_;
  Compensation compensation_;
  std::vector<BlockScores> scores_;  // by block, as far as they were looked at
};

/// The options that all of these methods have; the defaults that differ are given.
std::vector<MethodOption> unit_pruning_options(std::string_view allocation,
                                               std::string_view compensation);

}  // namespace terse
