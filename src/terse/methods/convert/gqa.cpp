// Attention with fewer key-value heads: those of a group become one, their mean.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/methods/convert/head_alignment.h"
#include "terse/methods/shape_method.h"
#include "terse/model/weights/dense.h"

namespace terse {
namespace {

// Dense weights of a block while heads are worked on.
class BlockWeights {
 public:
  explicit BlockWeights(Block& block) : block_(block) {}

  Matrix& weight(LinearRole role) {
    auto found = weights_.find(role);
    if (found == weights_.end()) {
      found = weights_.emplace(role, block_.linears.at(role).weight->dense()).first;
    }
    return found->second;
  }

  // Rows of a head, with its biases as a last column.
  Matrix rows(const HeadPlaces& place, std::int64_t count) {
    const Vector& bias = block_.linears.at(place.linear).bias;
    const Matrix& all = weight(place.linear);
    Matrix rows(count, all.cols() + 1);
    rows.leftCols(all.cols()) = all.middleRows(place.first, count);
    rows.rightCols(1).setZero();
    if (bias.size() > 0) rows.rightCols(1) = bias.segment(place.first, count);
    return rows;
  }

  void set_rows(const HeadPlaces& place, const Matrix& rows) {
    Matrix& all = weight(place.linear);
    Vector& bias = block_.linears.at(place.linear).bias;
    all.middleRows(place.first, rows.rows()) = rows.leftCols(all.cols());
    if (bias.size() > 0) bias.segment(place.first, rows.rows()) = rows.rightCols(1);
  }

  void put_back() {
    for (auto& [role, weight] : weights_) {
      block_.linears.at(role).weight = std::make_shared<DenseWeight>(weight, DType::f32);
    }
  }

 private:
  Block& block_;
  std::map<LinearRole, Matrix> weights_;
};

enum class Alignment { none, rotation };

// The key-value heads [first, first + count) of a block.
class Group {
 public:
  Group(const BlockView& view, BlockWeights& weights, std::int64_t first, std::int64_t count)
      : view_(view), a_(view.architecture), weights_(weights), first_(first), count_(count) {}

  // Each head is turned towards the mean of those before it.
  void align() {
    const Eigen::MatrixXd moments = extended_moments();
    const bool keys_turn = !a_.qk_norm;  // a norm's weights do not turn
    for (std::int64_t i = 1; i < count_; ++i) {
      turn_values(first_ + i, procrustes_rotation(cross(moments, &value_place, i)));
      if (!keys_turn) continue;
      const Eigen::MatrixXd of_keys = cross(moments, &key_place, i);
      turn_keys(first_ + i, a_.rotary ? rotary_rotation(of_keys, a_.rope.dimensions)
                                      : procrustes_rotation(of_keys));
    }
  }

  void merge() {
    for (const auto place : {&key_place, &value_place}) {
      const Matrix mean = mean_of(place, count_);
      for (std::int64_t i = 0; i < count_; ++i) {
        weights_.set_rows(place(a_, view_.index, first_ + i), mean);
      }
    }
  }

 private:
  using Place = HeadPlaces (*)(const Architecture&, std::int64_t, std::int64_t);

  Matrix rows(Place place, std::int64_t head) const {
    return weights_.rows(place(a_, view_.index, head), a_.head_dim);
  }

  Matrix mean_of(Place place, std::int64_t count) const {
    Matrix mean = rows(place, first_);
    for (std::int64_t i = 1; i < count; ++i) mean += rows(place, first_ + i);
    return mean / static_cast<float>(count);
  }

  // Second moments of the inputs with a 1 for the bias.
  Eigen::MatrixXd extended_moments() const {
    const InputStatistics& inputs = view_.inputs.at(Stage::attention_input);
    const std::int64_t n = inputs.columns();
    Eigen::MatrixXd moments(n + 1, n + 1);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) moments(i, j) = 0.5 * inputs.moments().at(i, j);
      moments(i, n) = moments(n, i) = inputs.mean(i);
    }
    moments(n, n) = 1.0;
    return moments;
  }

  // A M B^T of head i of the group and the mean of those before it.
  Eigen::MatrixXd cross(const Eigen::MatrixXd& moments, Place place, std::int64_t i) const {
    return rows(place, first_ + i).cast<double>() * moments *
           mean_of(place, i).cast<double>().transpose();
  }

  std::int64_t queries() const {
    const BlockShape shape = a_.shape(view_.index);
    return shape.num_attention_heads / shape.num_key_value_heads;
  }

  void turn_values(std::int64_t head, const Matrix& rotation) {
    const HeadPlaces place = value_place(a_, view_.index, head);
    weights_.set_rows(place, rotation * weights_.rows(place, a_.head_dim));
    Matrix& output = weights_.weight(LinearRole::o_proj);
    for (std::int64_t q = head * queries(); q < (head + 1) * queries(); ++q) {
      auto columns = output.middleCols(q * a_.head_dim, a_.head_dim);
      columns = (columns * rotation.transpose()).eval();
    }
  }

  void turn_keys(std::int64_t head, const Matrix& rotation) {
    const auto turn = [&](const HeadPlaces& place) {
      weights_.set_rows(place, rotation * weights_.rows(place, a_.head_dim));
    };
    turn(key_place(a_, view_.index, head));
    for (std::int64_t q = head * queries(); q < (head + 1) * queries(); ++q) {
      turn(query_place(a_, view_.index, q));
    }
  }

  const BlockView& view_;
  const Architecture& a_;
  BlockWeights& weights_;
  std::int64_t first_;
  std::int64_t count_;
};

class GroupedQuery : public ShapeMethod {
 public:
  explicit GroupedQuery(const MethodOptions& options)
      : num_key_value_heads_(options.integer("num_key_value_heads")),
        alignment_(options.text("alignment") == "none" ? Alignment::none : Alignment::rotation),
        resolves_(read_resolving(options)) {}

  std::vector<KeptBlock> kept(const Architecture& a) const override {
    std::vector<KeptBlock> all;
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      KeptBlock kept{block};
      if (a.has_attention(block)) {
        const std::int64_t together = group_size(a, block);
        std::vector<std::int64_t> heads;
        for (std::int64_t i = 0; i < num_key_value_heads_; ++i) heads.push_back(i * together);
        kept.key_value_heads = heads;
        kept.shared_key_values = true;
      }
      all.push_back(kept);
    }
    return all;
  }

  std::optional<StatisticsNeeds> rewriting() const override {
    if (alignment_ == Alignment::none) return StatisticsNeeds{};
    return StatisticsNeeds{.second_moments = true, .means = true};
  }

  bool resolves() const override { return resolves_; }

  void rewrite(const BlockView& view, Block& block) const override {
    if (!view.architecture.has_attention(view.index)) return;
    const std::int64_t together = group_size(view.architecture, view.index);
    if (together == 1) return;
    BlockWeights weights(block);
    for (std::int64_t i = 0; i < num_key_value_heads_; ++i) {
      Group group(view, weights, i * together, together);
      if (alignment_ == Alignment::rotation) group.align();
      group.merge();
    }
    weights.put_back();
  }

 private:
  std::int64_t group_size(const Architecture& a, std::int64_t block) const {
    if (a.fused_layout == FusedLayout::heads && a.linears.contains(LinearRole::qkv_proj)) {
      throw bad_usage(
          "gqa: a {} model stores query, key and value of every head together; it has "
          "no form with fewer key-value heads",
          a.family);
    }
    const std::int64_t there = a.shape(block).num_key_value_heads;
    if (num_key_value_heads_ <= there && there % num_key_value_heads_ == 0) {
      return there / num_key_value_heads_;
    }
    std::vector<std::int64_t> possible;
    for (std::int64_t n = 1; n <= there; ++n) {
      if (there % n == 0) possible.push_back(n);
    }
    throw bad_usage("gqa: {} key-value heads cannot be made of the {} of block {}; possible are {}",
                    num_key_value_heads_, there, block, fmt::join(possible, ", "));
  }

  std::int64_t num_key_value_heads_;
  Alignment alignment_;
  bool resolves_;
};

const ShapeMethodRegistration registration(
    {"gqa",
     "convert",
     "Convert attention to fewer key-value heads: grouped-query, or multi-query with one",
     "Ainslie, Lee-Thorp, de Jong, Zemlyanskiy, Lebron, Sanghai: GQA, EMNLP 2023 "
     "(arXiv:2305.13245), section 2.1; aligned first: Jin, Song, Zhou, Zhang: Align Attention "
     "Heads "
     "Before Merging Them, 2024 (arXiv:2412.20677)",
     MethodScope::model,
     MethodNeed::input_second_moments,
     {{"num_key_value_heads",
       std::int64_t{1},
       "Key-value heads that stay in each block",
       {},
       1,
       1e9,
       true},
      {"alignment",
       std::string("rotation"),
       "Turn the heads of a group towards one another first, on calibration text, or not",
       {"rotation", "none"},
       0,
       0,
       true},
      resolving_option("the heads that went, in o_proj")}},
    [](const MethodOptions& options) { return std::make_unique<GroupedQuery>(options); });

}  // namespace
}  // namespace terse
