#include "terse/model/padded.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/model/family_config.h"

namespace terse {
namespace {

using Numbers = std::vector<std::int64_t>;

constexpr std::int64_t kZeros = TensorPart::kZeros;

// As many key-value heads as any block has, and as many queries to each.
BlockShape largest_shape(const Architecture& a) {
  std::int64_t queries = 0;
  BlockShape largest;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    const BlockShape shape = a.shape(block);
    largest.num_key_value_heads = std::max(largest.num_key_value_heads, shape.num_key_value_heads);
    largest.intermediate_size = std::max(largest.intermediate_size, shape.intermediate_size);
    if (!a.has_attention(block)) continue;
    queries = std::max(queries, shape.num_attention_heads / shape.num_key_value_heads);
  }
  largest.num_attention_heads = queries * largest.num_key_value_heads;
  return largest;
}

Architecture uniform(Architecture a) {
  const BlockShape shape = largest_shape(a);
  if (shape.num_attention_heads == 0 || shape.intermediate_size == 0) {
    throw bad_usage("pad: no block has {}; a {} model must have some",
                    shape.num_attention_heads == 0 ? "attention" : "an MLP", a.family);
  }
  a.block_shapes.clear();
  a.num_attention_heads = shape.num_attention_heads;
  a.num_key_value_heads = shape.num_key_value_heads;
  a.intermediate_size = shape.intermediate_size;
  return a;
}

// Features [0, there), then zeros.
void append_padded(Numbers& numbers, std::int64_t there, std::int64_t wanted,
                   std::int64_t offset = 0) {
  for (std::int64_t i = 0; i < wanted; ++i) numbers.push_back(i < there ? offset + i : kZeros);
}

// Of every key-value head its queries, each group padded.
Numbers padded_queries(const Architecture& a, const Architecture& wide, std::int64_t block) {
  const BlockShape own = a.shape(block);
  const std::int64_t groups = wide.num_key_value_heads;
  const std::int64_t in_group = wide.num_attention_heads / groups * a.head_dim;
  Numbers numbers;
  for (std::int64_t group = 0; group < groups; ++group) {
    const bool there = group < own.num_key_value_heads;
    const std::int64_t width =
        there ? own.num_attention_heads / own.num_key_value_heads * a.head_dim : 0;
    append_padded(numbers, width, in_group, group * width);
  }
  return numbers;
}

Numbers padded_fused(const Architecture& a, const Architecture& wide, std::int64_t block) {
  Numbers numbers;
  if (a.fused_layout == FusedLayout::heads) {
    append_padded(numbers, 3 * a.query_size(block), 3 * wide.query_size(block));
    return numbers;
  }
  numbers = padded_queries(a, wide, block);
  const std::int64_t keys = a.key_size(block);
  append_padded(numbers, keys, wide.key_size(block), a.query_size(block));
  append_padded(numbers, keys, wide.key_size(block), a.query_size(block) + keys);
  return numbers;
}

// Rows and columns of a linear; empty where all are there.
struct Places {
  Numbers outputs;
  Numbers inputs;
};

Places places_of(const Architecture& a, const Architecture& wide, std::int64_t block,
                 LinearRole role) {
  Places places;
  switch (role) {
    case LinearRole::q_proj:
      places.outputs = padded_queries(a, wide, block);
      break;
    case LinearRole::k_proj:
    case LinearRole::v_proj:
      append_padded(places.outputs, a.key_size(block), wide.key_size(block));
      break;
    case LinearRole::qkv_proj:
      places.outputs = padded_fused(a, wide, block);
      break;
    case LinearRole::o_proj:
      places.inputs = padded_queries(a, wide, block);
      break;
    case LinearRole::gate_proj:
    case LinearRole::up_proj:
      append_padded(places.outputs, a.shape(block).intermediate_size, wide.intermediate_size);
      break;
    case LinearRole::down_proj:
      append_padded(places.inputs, a.shape(block).intermediate_size, wide.intermediate_size);
      break;
  }
  return places;
}

class Padding {
 public:
  explicit Padding(const Model& model)
      : model_(model), a_(model.architecture()), wide_(uniform(a_)) {}

  std::map<std::string, TensorPart> parts() {
    for (const std::string& name : model_.checkpoint().names()) parts_[name] = {name};
    for (std::int64_t block = 0; block < a_.num_hidden_layers; ++block) {
      for (const LinearRole role : wide_.roles(block)) add_linear(block, role);
      for (const NormRole role : wide_.norm_roles(block)) add_norm(block, role);
    }
    return std::move(parts_);
  }

  const Architecture& wide() const { return wide_; }

 private:
  template <class Role>
  static bool has(const std::vector<Role>& roles, Role role) {
    return std::ranges::find(roles, role) != roles.end();
  }

  void add_linear(std::int64_t block, LinearRole role) {
    const std::string module = model_.linear_module(block, role);
    if (!has(a_.roles(block), role)) {
      add_zeros(module, block, role);
      return;
    }
    Places places = places_of(a_, wide_, block, role);
    if (a_.biases.contains(role)) parts_[module + ".bias"].rows = places.outputs;
    if (a_.conv1d) std::swap(places.outputs, places.inputs);
    TensorPart& part = parts_[module + ".weight"];
    part.rows = std::move(places.outputs);
    part.columns = std::move(places.inputs);
  }

  // The shape and type are those of a block that has it.
  void add_zeros(const std::string& module, std::int64_t block, LinearRole role) {
    std::int64_t other = 0;
    while (!has(a_.roles(other), role)) ++other;
    const std::string source = model_.linear_module(other, role);
    Shape shape{wide_.out_features(block, role), wide_.in_features(block, role)};
    if (a_.biases.contains(role)) parts_[module + ".bias"] = {source + ".bias", zeros(shape[0])};
    if (a_.conv1d) std::swap(shape[0], shape[1]);
    parts_[module + ".weight"] = {source + ".weight", zeros(shape[0]), zeros(shape[1])};
  }

  static Numbers zeros(std::int64_t count) {
    return Numbers(static_cast<std::size_t>(count), kZeros);
  }

  // Nothing is made of what it puts out.
  void add_norm(std::int64_t block, NormRole role) {
    if (has(a_.norm_roles(block), role)) return;
    std::int64_t other = 0;
    while (!has(a_.norm_roles(other), role)) ++other;
    const std::string source = model_.norm_module(other, role);
    for (const std::string& name : model_.checkpoint().names_of(source)) {
      parts_[model_.norm_module(block, role) + name.substr(source.size())] = {name};
    }
  }

  const Model& model_;
  const Architecture& a_;
  Architecture wide_;
  std::map<std::string, TensorPart> parts_;
};

}  // namespace

Checkpoint padded(const Model& model) {
  if (model.architecture().shortcuts) {
    throw bad_usage("pad: a residual stream that is turned in every block has no plain form");
  }
  if (model.architecture().block_shapes.empty()) return model.checkpoint();
  Padding padding(model);
  const auto config = family_config(model.checkpoint().config(), padding.wide());
  if (!config) {
    throw bad_usage(
        "pad: the config of a {} model cannot say {} heads of size {}, {} channels and the biases "
        "that there are; leave pad out, or choose a compensation without biases",
        model.architecture().family, padding.wide().num_attention_heads,
        model.architecture().head_dim, padding.wide().intermediate_size);
  }
  return model.checkpoint().of_parts(padding.parts(), *config);
}

}  // namespace terse
