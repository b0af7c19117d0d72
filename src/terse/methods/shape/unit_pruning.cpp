#include "terse/methods/shape/unit_pruning.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/shape/ratio_of.h"
#include "terse/methods/shape/unit_choice.h"

namespace terse {
namespace {

using Units = std::vector<std::int64_t>;

// Parameters of a unit: a key-value head with the queries that read it, and a channel.
struct UnitSizes {
  std::int64_t head;
  std::int64_t channel;
};

UnitSizes unit_sizes(const Architecture& a, std::int64_t block) {
  const std::int64_t queries = queries_per_key_value_head(a, block);
  return {2 * (queries + 1) * a.head_dim * a.hidden_size, (a.gated ? 3 : 2) * a.hidden_size};
}

double block_parameters(const Architecture& a, std::int64_t block) {
  const UnitSizes sizes = unit_sizes(a, block);
  const BlockShape shape = a.shape(block);
  return static_cast<double>(sizes.head * shape.num_key_value_heads +
                             sizes.channel * shape.intermediate_size);
}

// A unit of any block, with its score in standard deviations from the mean of its kind there.
struct Candidate {
  double score;
  std::int64_t block;
  std::int64_t unit;
  bool is_head;
  double parameters;
};

void add_candidates(const std::vector<double>& scores, std::int64_t block, bool heads,
                    double parameters, std::vector<Candidate>& all) {
  const auto count = static_cast<double>(scores.size());
  const double mean = std::accumulate(scores.begin(), scores.end(), 0.0) / count;
  double variance = 0;
  for (const double score : scores) variance += (score - mean) * (score - mean);
  const double deviation = std::sqrt(variance / std::max(1.0, count - 1));
  for (std::size_t unit = 0; unit < scores.size(); ++unit) {
    const double standard = deviation > 0 ? (scores[unit] - mean) / deviation : 0.0;
    all.push_back({standard, block, static_cast<std::int64_t>(unit), heads, parameters});
  }
}

MethodOption whole(std::string name, OptionValue value, std::string help, double maximum) {
  return {std::move(name), std::move(value), std::move(help), {}, 0, maximum, true};
}

}  // namespace

std::vector<MethodOption> unit_pruning_options(std::string_view allocation,
                                               std::string_view compensation) {
  return {
      whole("ratio", 0.2, "Share of the parameters of the blocks' linears that goes", 1.0),
      ratio_of_option("parameters"),
      whole("num_attention_heads", std::int64_t{0},
            "In place of the ratio: heads that stay in each block; 0: all", 1e9),
      whole("intermediate_size", std::int64_t{0},
            "In place of the ratio: channels that stay in each MLP; 0: all", 1e9),
      {"units",
       std::string("all"),
       "What may go: channels of the MLP, heads, or all of these",
       {"all", "channels", "heads"},
       0,
       0,
       true},
      {"allocation",
       std::string(allocation),
       "The same share of every block, or units of all blocks compete",
       {"uniform", "adaptive"},
       0,
       0,
       true},
      {"multiple", std::int64_t{16}, "Channels that stay are a multiple of it", {}, 1, 4096, true},
      compensation_option(compensation)};
}

UnitPruning::UnitPruning(std::string name, const MethodOptions& options,
                         std::unique_ptr<UnitScore> score)
    : name_(std::move(name)),
      score_(std::move(score)),
      ratio_(options.number("ratio")),
      num_attention_heads_(options.integer("num_attention_heads")),
      intermediate_size_(options.integer("intermediate_size")),
      of_heads_(options.text("units") != "channels"),
      of_channels_(options.text("units") != "heads"),
      allocation_(options.text("allocation") == "adaptive" ? UnitAllocation::adaptive
                                                           : UnitAllocation::uniform),
      multiple_(options.integer("multiple")),
      compensation_(read_compensation(options)) {
  if (num_attention_heads_ + intermediate_size_ == 0) return;
  for (const char* option : {"ratio", kRatioOf, "units", "allocation", "multiple"}) {
    if (!options.given(option)) continue;
    throw bad_usage("{}: {} and sizes both say what goes; leave one out", name_, option);
  }
}

UnitPruning::~UnitPruning() = default;

ShapeNeeds UnitPruning::needs() const {
  return {.weights = true, .inputs = score_->needs()};
}

void UnitPruning::look_at(const BlockView& view) {
  const Architecture& a = view.architecture;
  BlockScores& block = scores_.emplace_back();
  const auto score = [&](LinearRole role, std::int64_t units) {
    std::vector<double> sums(static_cast<std::size_t>(units));
    if (units == 0) return sums;
    const auto inputs = view.inputs.find(stage_of(role));
    const Eigen::VectorXd scores =
        score_->scores(view.block.linears.at(role).weight->dense(),
                       inputs == view.inputs.end() ? nullptr : &inputs->second);
    const std::int64_t width = scores.size() / units;
    for (std::int64_t i = 0; i < scores.size(); ++i) {
      sums[static_cast<std::size_t>(i / width)] += scores[i];
    }
    return sums;
  };
  const BlockShape shape = a.shape(view.index);
  block.heads = score(LinearRole::o_proj, shape.num_key_value_heads);
  block.channels = score(LinearRole::down_proj, shape.intermediate_size);
}

UnitPruning::BlockScores UnitPruning::scores_of(const Architecture& a, std::int64_t block) const {
  if (static_cast<std::size_t>(block) < scores_.size())
    return scores_[static_cast<std::size_t>(block)];
  const BlockShape shape = a.shape(block);
  return {std::vector<double>(static_cast<std::size_t>(shape.num_key_value_heads)),
          std::vector<double>(static_cast<std::size_t>(shape.intermediate_size))};
}

std::vector<KeptBlock> UnitPruning::kept(const Architecture& a) const {
  if (num_attention_heads_ + intermediate_size_ > 0) return explicit_sizes(a);
  check_reachable(a);
  return allocation_ == UnitAllocation::uniform ? uniform(a) : adaptive(a);
}

// One key-value head and one multiple of channels stay of every block.
void UnitPruning::check_reachable(const Architecture& a) const {
  double all = 0;
  double most = 0;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    const UnitSizes sizes = unit_sizes(a, block);
    const BlockShape shape = a.shape(block);
    const auto spare = [](bool may_go, std::int64_t there, std::int64_t stay) {
      return may_go ? std::max<std::int64_t>(0, there - stay) : 0;
    };
    all += block_parameters(a, block);
    most += static_cast<double>(sizes.head * spare(of_heads_, shape.num_key_value_heads, 1) +
                                sizes.channel *
                                    spare(of_channels_, shape.intermediate_size, multiple_));
  }
  if (ratio_ * all <= most) return;
  throw bad_usage("{}: a ratio of {} cannot be reached; at most {:.3f} of the blocks can go", name_,
                  ratio_, most / all);
}

KeptBlock UnitPruning::best(const Architecture& a, std::int64_t block, std::int64_t heads,
                            std::int64_t channels) const {
  const BlockShape shape = a.shape(block);
  const BlockScores scores = scores_of(a, block);
  KeptBlock kept{block};
  if (heads < shape.num_key_value_heads) kept.key_value_heads = largest(scores.heads, heads);
  if (channels < shape.intermediate_size) kept.channels = largest(scores.channels, channels);
  return kept;
}

std::vector<KeptBlock> UnitPruning::explicit_sizes(const Architecture& a) const {
  std::vector<KeptBlock> all;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    const BlockShape shape = a.shape(block);
    check_sizes(name_, a, block, num_attention_heads_, intermediate_size_);
    const std::int64_t heads = num_attention_heads_ == 0 || !a.has_attention(block)
                                   ? shape.num_key_value_heads
                                   : num_attention_heads_ / queries_per_key_value_head(a, block);
    all.push_back(best(a, block, heads,
                       intermediate_size_ == 0 ? shape.intermediate_size : intermediate_size_));
  }
  return all;
}

std::int64_t UnitPruning::rounded(double channels, std::int64_t most) const {
  const std::int64_t multiples = std::lrint(channels / static_cast<double>(multiple_));
  return std::min(most, multiple_ * std::max<std::int64_t>(1, multiples));
}

// Heads are few: as many as come nearest to the share, then channels make up the rest.
std::vector<KeptBlock> UnitPruning::uniform(const Architecture& a) const {
  std::vector<KeptBlock> all;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    const BlockShape shape = a.shape(block);
    const UnitSizes sizes = unit_sizes(a, block);
    const double left = (1.0 - ratio_) * block_parameters(a, block);
    const auto parameters_of_heads = [&](std::int64_t heads) {
      return static_cast<double>(heads * sizes.head);
    };
    std::int64_t heads = shape.num_key_value_heads;
    if (of_heads_ && heads > 0) {
      const double share =
          of_channels_ ? (1.0 - ratio_) * static_cast<double>(heads)
                       : (left - static_cast<double>(shape.intermediate_size * sizes.channel)) /
                             static_cast<double>(sizes.head);
      heads = std::clamp<std::int64_t>(std::lrint(share), 1, heads);
    }
    std::int64_t channels = shape.intermediate_size;
    if (of_channels_ && channels > 0) {
      channels = rounded((left - parameters_of_heads(heads)) / static_cast<double>(sizes.channel),
                         channels);
    }
    all.push_back(best(a, block, heads, channels));
  }
  return all;
}

std::vector<KeptBlock> UnitPruning::adaptive(const Architecture& a) const {
  std::vector<Candidate> candidates;
  double goes = 0;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    const UnitSizes sizes = unit_sizes(a, block);
    const BlockScores scores = scores_of(a, block);
    if (of_heads_) {
      add_candidates(scores.heads, block, true, static_cast<double>(sizes.head), candidates);
    }
    if (of_channels_) {
      add_candidates(scores.channels, block, false, static_cast<double>(sizes.channel), candidates);
    }
    goes += ratio_ * block_parameters(a, block);
  }
  std::ranges::stable_sort(candidates, {}, &Candidate::score);
  std::vector<BlockShape> left;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) left.push_back(a.shape(block));
  for (const Candidate& unit : candidates) {
    if (goes < unit.parameters / 2) break;
    BlockShape& shape = left[static_cast<std::size_t>(unit.block)];
    std::int64_t& count = unit.is_head ? shape.num_key_value_heads : shape.intermediate_size;
    if (count <= (unit.is_head ? 1 : multiple_)) continue;
    --count;
    goes -= unit.parameters;
  }
  std::vector<KeptBlock> all;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    const BlockShape& shape = left[static_cast<std::size_t>(block)];
    const std::int64_t most = a.shape(block).intermediate_size;
    const std::int64_t channels =
        most == 0 ? 0 : rounded(static_cast<double>(shape.intermediate_size), most);
    all.push_back(best(a, block, shape.num_key_value_heads, channels));
  }
  return all;
}

}  // namespace terse
