// Keeps some blocks, heads and channels: a student to be taught by the model that it is made of.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <string>

#include "terse/core/error.h"
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

// `count` of `all` numbers, evenly spread, the first and the last among them.
Units spread(std::int64_t count, std::int64_t all) {
  Units chosen;
  for (std::int64_t i = 0; i < count; ++i) {
    const double share = count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0;
    chosen.push_back(std::lrint(share * static_cast<double>(all - 1)));
  }
  return chosen;
}

// The `count` units of the largest scores, ascending; of equal ones the first.
Units largest(const std::vector<double>& scores, std::int64_t count) {
  Units order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater(), [&](std::int64_t unit) {
    return scores[static_cast<std::size_t>(unit)];
  });
  order.resize(static_cast<std::size_t>(count));
  std::ranges::sort(order);
  return order;
}

double squared_norm(const Matrix& weight, const KeptFeatures& features) {
  double sum = 0;
  for (const std::int64_t row : features.outputs) {
    sum += weight.row(row).cast<double>().squaredNorm();
  }
  for (const std::int64_t column : features.inputs) {
    sum += weight.col(column).cast<double>().squaredNorm();
  }
  return sum;
}

// Squared norms of units, each over all weights of the block that it has.
template <class UnitOf>
std::vector<double> scores(const Architecture& a, const Block& block, std::int64_t count,
                           const UnitOf& unit_of) {
  std::vector<double> sums(static_cast<std::size_t>(count));
  for (const auto& [role, linear] : block.linears) {
    const auto features = [&, role = role](std::int64_t unit) {
      return kept_features(a, role, unit_of(unit));
    };
    if (features(0).outputs.empty() && features(0).inputs.empty()) continue;
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

  std::vector<KeptBlock> kept(Model& model) const override {
    const Architecture& a = model.architecture();
    check(a);
    std::vector<KeptBlock> all;
    for (const std::int64_t block : chosen_blocks(a)) {
      KeptBlock& kept = all.emplace_back(KeptBlock{block});
      if (num_attention_heads_ + intermediate_size_ == 0) continue;
      model.load_block(block, false);
      choose_units(a, model.block(block), kept);
      model.unload_block(block);
    }
    return all;
  }

 private:
  static void check_size(const char* name, std::int64_t asked, std::int64_t there) {
    if (asked <= there) return;
    throw bad_usage("keep: {} {}, where the model has {}", name, asked, there);
  }

  void check(const Architecture& a) const {
    check_size("num_hidden_layers", num_hidden_layers_, a.num_hidden_layers);
    check_size("num_attention_heads", num_attention_heads_, a.num_attention_heads);
    check_size("intermediate_size", intermediate_size_, a.intermediate_size);
    if (!blocks_.empty() && blocks_.back() >= a.num_hidden_layers) {
      throw bad_usage("keep: there is no block {}; the model's are 0 to {}", blocks_.back(),
                      a.num_hidden_layers - 1);
    }
    const std::int64_t together = queries_per_key_value_head(a);
    if (num_attention_heads_ % together != 0) {
      throw bad_usage(
          "keep: num_attention_heads {}, but {} heads share keys and values; expected a multiple",
          num_attention_heads_, together);
    }
  }

  Units chosen_blocks(const Architecture& a) const {
    if (!blocks_.empty()) return blocks_;
    return spread(num_hidden_layers_ > 0 ? num_hidden_layers_ : a.num_hidden_layers,
                  a.num_hidden_layers);
  }

  void choose_units(const Architecture& a, const Block& block, KeptBlock& kept) const {
    if (num_attention_heads_ > 0) {
      const auto head = [](std::int64_t unit) { return KeptBlock{0, {unit}, {}}; };
      kept.key_value_heads = largest(scores(a, block, a.num_key_value_heads, head),
                                     num_attention_heads_ / queries_per_key_value_head(a));
    }
    if (intermediate_size_ > 0) {
      const auto channel = [](std::int64_t unit) { return KeptBlock{0, {}, {unit}}; };
      kept.channels = largest(scores(a, block, a.intermediate_size, channel), intermediate_size_);
    }
  }

  Units blocks_;
  std::int64_t num_hidden_layers_;
  std::int64_t num_attention_heads_;
  std::int64_t intermediate_size_;
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
