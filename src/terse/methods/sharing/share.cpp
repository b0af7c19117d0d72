// Blocks that are tied in groups: the linears of a group are one, with small differences or none.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/text.h"
#include "terse/methods/lowrank/truncated_svd.h"
#include "terse/methods/shape_method.h"
#include "terse/methods/sharing/groups.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/low_rank.h"
#include "terse/model/weights/shared.h"

namespace terse {
namespace {

std::shared_ptr<Weight> exact(const Matrix& matrix) {
  return std::make_shared<DenseWeight>(matrix, DType::f32);
}

class Share : public ShapeMethod {
 public:
  explicit Share(const MethodOptions& options)
      : order_(options.text("order")),
        start_(options.text("start")),
        part_(options.text("part")),
        ratio_(options.number("ratio")),
        groups_(options.integer("num_groups")),
        rank_(options.integer("rank")) {
    if (groups_ > 0 && options.given("ratio")) {
      throw bad_usage(
          "share: ratio and num_groups both say how many blocks are tied; leave one out");
    }
    if (rank_ > 0 && options.given("start")) {
      throw bad_usage(
          "share: with differences (rank {}) a group begins with its first block, which has none; "
          "leave start out",
          rank_);
    }
  }

  std::vector<KeptBlock> kept(const Architecture& a) const override {
    check(a);
    std::vector<KeptBlock> all;
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) all.push_back({block});
    return all;
  }

  std::vector<SharedLinear> shared(const Architecture& a) const override {
    const std::vector<std::int64_t> tied = check(a);
    std::vector<SharedLinear> shared;
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      const std::int64_t source = tied[static_cast<std::size_t>(block)];
      if (source == block) continue;
      for (const LinearRole role : a.roles(block)) {
        if (is_tied(role)) shared.push_back({block, role, source, rank_});
      }
    }
    return shared;
  }

  // A difference shall be missed as little as can be where the inputs are.
  std::optional<StatisticsNeeds> rewriting() const override {
    return StatisticsNeeds{.second_moments = rank_ > 0};
  }

  void rewrite(const BlockView& view, Block& block) const override {
    const std::vector<std::int64_t> tied = check(view.architecture);
    const std::int64_t source = tied[static_cast<std::size_t>(view.index)];
    std::vector<std::int64_t> members;
    for (std::size_t i = 0; i < tied.size(); ++i) {
      if (tied[i] == source) members.push_back(static_cast<std::int64_t>(i));
    }
    if (members.size() == 1) return;
    for (auto& [key, linear] : block.linears) {
      const LinearRole role = key.role;
      if (!is_tied(role)) continue;
      const Matrix common = common_weight(view, members, role);
      if (view.index == source) {
        linear.weight = exact(common);
      } else {
        linear.weight = shared_weight(view, role, linear, common, source);
      }
    }
  }

 private:
  bool is_tied(LinearRole role) const {
    const Stage stage = stage_of(role);
    const bool attention = stage == Stage::attention_input || stage == Stage::attention_output;
    return part_ == "all" || (part_ == "attention") == attention;
  }

  // The first block of the group of each.
  std::vector<std::int64_t> check(const Architecture& a) const {
    const std::int64_t blocks = a.num_hidden_layers;
    if (groups_ > blocks) {
      throw bad_usage("share: num_groups {}, where the model has {} blocks", groups_, blocks);
    }
    const double share = ratio_ * static_cast<double>(blocks);
    const std::int64_t groups = groups_ > 0 ? groups_ : blocks - std::lrint(share);
    if (groups < 1 || (groups == blocks && groups_ == 0)) {
      throw bad_usage(
          "share: a ratio of {} of {} blocks is {:.2f} of them; the nearest that can be tied to "
          "others are {}",
          ratio_, blocks, share, std::clamp<std::int64_t>(blocks - groups, 1, blocks - 1));
    }
    const std::vector<std::int64_t> tied = tied_blocks(order_, blocks, groups);
    for (std::size_t i = 0; i < tied.size(); ++i) {
      require_same_linears(a, static_cast<std::int64_t>(i), tied[i]);
    }
    check_rank(a);
    return tied;
  }

  void check_rank(const Architecture& a) const {
    for (const LinearRole role : a.roles(0)) {
      const std::int64_t full = std::min(a.out_features(0, role), a.in_features(0, role));
      if (!is_tied(role) || rank_ < full) continue;
      throw bad_usage("share: differences of rank {}, where {} has the full rank {}; give less",
                      rank_, role_name(role), full);
    }
  }

  // Biases and norms stay with their blocks.
  std::shared_ptr<Weight> shared_weight(const BlockView& view, LinearRole role,
                                        const Linear& linear, const Matrix& common,
                                        std::int64_t source) const {
    std::shared_ptr<Weight> difference;
    if (rank_ > 0) {
      const InputStatistics& inputs = view.inputs.at(stage_of(role));
      const TruncatedSvd terms =
          truncated_svd(linear.weight->dense() - common, rank_, {{}, &inputs.moments()});
      difference = std::make_shared<LowRank>(exact(terms.right), exact(terms.left));
    }
    return std::make_shared<Shared>(module_of(view, role, linear.module, source), exact(common),
                                    std::move(difference));
  }

  // The name of the same linear in another block.
  static std::string module_of(const BlockView& view, LinearRole role, const std::string& module,
                               std::int64_t other) {
    const auto name = [&](std::int64_t block) {
      return replace_all(view.architecture.linears.at(role), "{}", std::to_string(block));
    };
    return fmt::format("{}{}", module.substr(0, module.size() - name(view.index).size()),
                       name(other));
  }

  Matrix common_weight(const BlockView& view, const std::vector<std::int64_t>& members,
                       LinearRole role) const {
    if (rank_ > 0) return view.weight(members.front(), role);
    if (start_ == "mean") return mean(view, members, role);
    return view.weight(nearest(view, members), role);
  }

  static Matrix mean(const BlockView& view, const std::vector<std::int64_t>& members,
                     LinearRole role) {
    Matrix sum = view.weight(members.front(), role);
    for (std::size_t i = 1; i < members.size(); ++i) sum += view.weight(members[i], role);
    return sum / static_cast<float>(members.size());
  }

  // The member that differs least from the others, each linear by its own size: the sum of the
  // squared distances from all is least where the distance from their mean is.
  std::int64_t nearest(const BlockView& view, const std::vector<std::int64_t>& members) const {
    const auto known = nearest_.find(members.front());
    if (known != nearest_.end()) return known->second;
    std::map<std::int64_t, double> distances;
    for (const LinearRole role : view.architecture.roles(view.index)) {
      if (!is_tied(role)) continue;
      const Matrix common = mean(view, members, role);
      const double size = common.cast<double>().squaredNorm();
      for (const std::int64_t member : members) {
        const double distance = (view.weight(member, role) - common).cast<double>().squaredNorm();
        distances[member] += size > 0 ? distance / size : distance;
      }
    }
    const auto least = std::ranges::min_element(
        distances, {}, [](const auto& distance) { return distance.second; });
    return nearest_[members.front()] = least->first;
  }

  std::string order_;
  std::string start_;
  std::string part_;
  double ratio_;
  std::int64_t groups_;
  std::int64_t rank_;
  mutable std::map<std::int64_t, std::int64_t> nearest_;  // by the first block of a group
};

const ShapeMethodRegistration registration(
    {"share",
     "sharing",
     "Tie the linears of blocks in groups, with differences of low rank or none",
     "Takase, Kiyono: Lessons on Parameter Sharing across Layers in Transformers, 2021 "
     "(arXiv:2104.06022); Lan et al.: ALBERT, ICLR 2020 (arXiv:1909.11942); with differences: Bae, "
     "Fisch, Harutyunyan, Ji, Kim, Schuster: Relaxed Recursive Transformers, ICLR 2025 "
     "(arXiv:2410.20672)",
     MethodScope::model,
     MethodNeed::input_second_moments,
     {{"ratio", 0.5, "Share of the blocks that have their weights from others", {}, 0, 1, true},
      {"num_groups",
       std::int64_t{0},
       "In place of the ratio: groups of blocks that share",
       {},
       0,
       1e9,
       true},
      {"order",
       "sequence",
       "Which blocks are tied",
       {"sequence", "cycle", "cycle_reversed"},
       {},
       {},
       true},
      {"start",
       "aligned",
       "What a group without differences gets: that of its blocks which differs least from the "
       "others, or their mean",
       {"aligned", "mean"},
       {},
       {},
       true},
      {"part", "all", "Linears that are tied", {"all", "attention", "mlp"}, {}, {}, true},
      {"rank",
       std::int64_t{0},
       "Rank of what each block but the first of a group has of its own besides; 0: nothing",
       {},
       0,
       1e9,
       true}}},
    [](const MethodOptions& options) { return std::make_unique<Share>(options); });

}  // namespace
}  // namespace terse
