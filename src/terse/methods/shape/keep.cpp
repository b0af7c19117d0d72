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

// Adds the squared norm of each unit's rows or columns, `size` of them side by side.
void add_rows(const Matrix& weight, std::int64_t first, std::int64_t size,
              std::vector<double>& scores) {
  for (std::size_t unit = 0; unit < scores.size(); ++unit) {
    const std::int64_t row = first + static_cast<std::int64_t>(unit) * size;
    scores[unit] += weight.middleRows(row, size).cast<double>().squaredNorm();
  }
}

void add_columns(const Matrix& weight, std::int64_t size, std::vector<double>& scores) {
  for (std::size_t unit = 0; unit < scores.size(); ++unit) {
    const std::int64_t column = static_cast<std::int64_t>(unit) * size;
    scores[unit] += weight.middleCols(column, size).cast<double>().squaredNorm();
  }
}

// Squared norms of key-value heads with their queries, over all weights that a head has.
std::vector<double> head_scores(const Architecture& a, const Block& block) {
  const std::int64_t queries = queries_per_key_value_head(a) * a.head_dim;
  std::vector<double> scores(static_cast<std::size_t>(a.num_key_value_heads));
  for (const auto& [role, linear] : block.linears) {
    if (stage_of(role) == Stage::attention_output) {
      add_columns(linear.weight->dense(), queries, scores);
    } else if (role == LinearRole::q_proj) {
      add_rows(linear.weight->dense(), 0, queries, scores);
    } else if (role == LinearRole::k_proj || role == LinearRole::v_proj) {
      add_rows(linear.weight->dense(), 0, a.head_dim, scores);
    } else if (role == LinearRole::qkv_proj) {
      const Matrix fused = linear.weight->dense();
      if (a.fused_layout == FusedLayout::heads) {
        add_rows(fused, 0, 3 * a.head_dim, scores);
      } else {
        add_rows(fused, 0, queries, scores);
        add_rows(fused, a.query_size(), a.head_dim, scores);
        add_rows(fused, a.query_size() + a.key_size(), a.head_dim, scores);
      }
    }
  }
  return scores;
}

std::vector<double> channel_scores(const Architecture& a, const Block& block) {
  std::vector<double> scores(static_cast<std::size_t>(a.intermediate_size));
  for (const auto& [role, linear] : block.linears) {
    if (stage_of(role) == Stage::mlp_input) add_rows(linear.weight->dense(), 0, 1, scores);
    if (stage_of(role) == Stage::mlp_output) add_columns(linear.weight->dense(), 1, scores);
  }
  return scores;
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
      kept.key_value_heads =
          largest(head_scores(a, block), num_attention_heads_ / queries_per_key_value_head(a));
    }
    if (intermediate_size_ > 0) {
      kept.channels = largest(channel_scores(a, block), intermediate_size_);
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
