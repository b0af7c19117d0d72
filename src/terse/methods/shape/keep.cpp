// Keeps some blocks, heads and channels: a student to be taught by the model that it is made of.
#include <charconv>
#include <string>

#include "terse/core/error.h"
#include "terse/methods/shape/unit_choice.h"
#include "terse/methods/shape_method.h"

namespace terse {
namespace {

using Units = std::vector<std::int64_t>;

// "0,2,5".
Units parse_blocks(const std::string& text) {
  Units blocks;
  for (std::size_t at = 0; at < text.size();) {
    std::int64_t block = 0;
    const auto read = std::from_chars(text.data() + at, text.data() + text.size(), block);
    const auto end = static_cast<std::size_t>(read.ptr - text.data());
    const bool more = end < text.size() && text[end] == ',' && end + 1 < text.size();
    if (read.ec != std::errc() || (end < text.size() && !more) || block < 0 ||
        (!blocks.empty() && block <= blocks.back())) {
      throw bad_usage("blocks '{}': expected rising numbers, as in 0,2,5", text);
    }
    blocks.push_back(block);
    at = end + 1;
  }
  return blocks;
}

double squared_norm(const Matrix& weight, const KeptFeatures& features) {
  double sum = 0;
  for (const std::int64_t row : features.outputs.value_or(Units())) {
    sum += weight.row(row).cast<double>().squaredNorm();
  }
  for (const std::int64_t column : features.inputs.value_or(Units())) {
    sum += weight.col(column).cast<double>().squaredNorm();
  }
  return sum;
}

// Squared norms of units, each over all weights of the block that it has.
template <class UnitOf>
std::vector<double> scores(const BlockView& view, std::int64_t count, const UnitOf& unit_of) {
  std::vector<double> sums(static_cast<std::size_t>(count));
  if (count == 0) return sums;
  for (const auto& [key, linear] : view.block.linears) {
    const auto features = [&, role = key.role](std::int64_t unit) {
      return kept_features(view.architecture, role, unit_of(unit));
    };
    if (!features(0).outputs && !features(0).inputs) continue;
    const Matrix weight = linear.weight->dense();
    for (std::int64_t unit = 0; unit < count; ++unit) {
      sums[static_cast<std::size_t>(unit)] += squared_norm(weight, features(unit));
    }
  }
  return sums;
}

class Keep : public ShapeMethod {
 public:
  explicit Keep(const MethodOptions& options)
      : blocks_(parse_blocks(options.text("blocks"))),
        num_hidden_layers_(options.integer("num_hidden_layers")),
        num_attention_heads_(options.integer("num_attention_heads")),
        intermediate_size_(options.integer("intermediate_size")) {
    if (!blocks_.empty() && num_hidden_layers_ > 0) {
      throw bad_usage("keep: blocks and num_hidden_layers both choose blocks; leave one out");
    }
    if (blocks_.empty() && num_hidden_layers_ + num_attention_heads_ + intermediate_size_ == 0) {
      throw bad_usage(
          "keep: nothing is left out; give blocks, num_hidden_layers, num_attention_heads or "
          "intermediate_size");
    }
  }

  ShapeNeeds needs() const override {
    return {.weights = num_attention_heads_ + intermediate_size_ > 0};
  }

  void look_at(const BlockView& view) override {
    const BlockShape shape = view.architecture.shape(view.index);
    const auto head = [&](std::int64_t unit) { return KeptBlock{view.index, Units{unit}}; };
    const auto channel = [&](std::int64_t unit) {
      return KeptBlock{view.index, {}, {}, Units{unit}};
    };
    head_scores_.push_back(scores(view, shape.num_key_value_heads, head));
    channel_scores_.push_back(scores(view, shape.intermediate_size, channel));
  }

  std::vector<KeptBlock> kept(const Architecture& a) const override {
    check(a);
    std::vector<KeptBlock> all;
    for (const std::int64_t block : chosen_blocks(a)) {
      check_sizes("keep", a, block, num_attention_heads_, intermediate_size_);
      all.push_back({block});
      choose_units(a, all.back());
    }
    return all;
  }

 private:
  void check(const Architecture& a) const {
    if (num_hidden_layers_ > a.num_hidden_layers) {
      throw bad_usage("keep: num_hidden_layers {}, where the model has {}", num_hidden_layers_,
                      a.num_hidden_layers);
    }
    if (!blocks_.empty() && blocks_.back() >= a.num_hidden_layers) {
      throw bad_usage("keep: there is no block {}; the model's are 0 to {}", blocks_.back(),
                      a.num_hidden_layers - 1);
    }
  }

  Units chosen_blocks(const Architecture& a) const {
    if (!blocks_.empty()) return blocks_;
    return spread(num_hidden_layers_ > 0 ? num_hidden_layers_ : a.num_hidden_layers,
                  a.num_hidden_layers);
  }

  // Units that were not looked at are all alike.
  static std::vector<double> scores_of(const std::vector<std::vector<double>>& scores,
                                       std::int64_t block, std::int64_t count) {
    if (static_cast<std::size_t>(block) < scores.size())
      return scores[static_cast<std::size_t>(block)];
    return std::vector<double>(static_cast<std::size_t>(count));
  }

  void choose_units(const Architecture& a, KeptBlock& kept) const {
    const BlockShape shape = a.shape(kept.block);
    if (num_attention_heads_ > 0) {
      kept.key_value_heads =
          largest(scores_of(head_scores_, kept.block, shape.num_key_value_heads),
                  num_attention_heads_ / queries_per_key_value_head(a, kept.block));
    }
    if (intermediate_size_ > 0) {
      kept.channels = largest(scores_of(channel_scores_, kept.block, shape.intermediate_size),
                              intermediate_size_);
    }
  }

  Units blocks_;
  std::int64_t num_hidden_layers_;
  std::int64_t num_attention_heads_;
  std::int64_t intermediate_size_;
  std::vector<std::vector<double>> head_scores_;  // by block, as far as they were looked at
  std::vector<std::vector<double>> channel_scores_;
};

MethodOption whole(std::string name, OptionValue value, std::string help) {
  return {std::move(name), std::move(value), std::move(help), {}, 0, 1e9, true};
}

const ShapeMethodRegistration registration(
    {"keep",
     "shape",
     "Keep some blocks, heads and channels: a smaller model of the same family",
     "Blocks: Sanh, Debut, Chaumond, Wolf: DistilBERT, 2019 (arXiv:1910.01108), section 3. Heads "
     "and channels by their norm: Li et al.: Pruning Filters for Efficient ConvNets, ICLR 2017 "
     "(arXiv:1608.08710)",
     MethodScope::model,
     MethodNeed::nothing,
     {whole("blocks", std::string(), "Blocks to keep, as in 0,2,5"),
      whole("num_hidden_layers", std::int64_t{0}, "Keep so many blocks, evenly spread; 0: all"),
      whole("num_attention_heads", std::int64_t{0},
            "Keep so many heads of each block, those of the largest norm; 0: all"),
      whole("intermediate_size", std::int64_t{0},
            "Keep so many channels of each MLP, those of the largest norm; 0: all")}},
    [](const MethodOptions& options) { return std::make_unique<Keep>(options); });

}  // namespace
}  // namespace terse
