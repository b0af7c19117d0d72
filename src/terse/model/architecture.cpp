#include "terse/model/architecture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "terse/core/error.h"
#include "terse/core/text.h"
#include "terse/model/block_shapes.h"
#include "terse/model/family.h"
#include "terse/model/rotary.h"

namespace terse {

namespace {

constexpr std::int64_t kWidest = 1 << 20;
constexpr std::int64_t kMostExperts = 1 << 10;

void check_size(std::string_view key, std::int64_t value, std::int64_t maximum) {
  if (value < 1 || value > maximum) {
    throw bad_input("{} is {}; expected 1 to {}", key, value, maximum);
  }
}

bool of_attention(Stage stage) {
  return stage == Stage::attention_input || stage == Stage::attention_output;
}

// Scalings have parameters that are harmless one by one and not together. The shortest and the
// longest sequence bound what dynamic scaling makes of the base.
void check_frequencies(const Architecture& architecture) {
  for (const std::int64_t length : {std::int64_t{1}, architecture.context_length()}) {
    for (const float frequency : rotary_frequencies(architecture.rope, length)) {
      if (frequency >= 0 && std::isfinite(frequency)) continue;
      throw bad_input("rope_theta and rope_scaling give a rotary frequency of {}", frequency);
    }
  }
  if (!std::isfinite(architecture.rope.attention_factor)) {
    throw bad_input("rope_scaling gives an attention factor of {}",
                    architecture.rope.attention_factor);
  }
}

}  // namespace

std::string_view role_name(LinearRole role) {
  static constexpr std::array<std::string_view, 8> kNames{
      "q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  return kNames[static_cast<std::size_t>(role)];
}

Stage stage_of(LinearRole role) {
  switch (role) {
    case LinearRole::o_proj:
      return Stage::attention_output;
    case LinearRole::gate_proj:
    case LinearRole::up_proj:
      return Stage::mlp_input;
    case LinearRole::down_proj:
      return Stage::mlp_output;
    default:
      return Stage::attention_input;
  }
}

BlockShape Architecture::shape(std::int64_t block) const {
  if (!block_shapes.empty()) return block_shapes[static_cast<std::size_t>(block)];
  return {num_attention_heads, num_key_value_heads, intermediate_size, num_experts};
}

std::int64_t Architecture::all_key_features() const {
  std::int64_t sum = 0;
  for (std::int64_t block = 0; block < num_hidden_layers; ++block) sum += key_size(block);
  return sum;
}

std::int64_t Architecture::out_features(std::int64_t block, LinearRole role) const {
  switch (role) {
    case LinearRole::q_proj:
      return query_size(block);
    case LinearRole::k_proj:
    case LinearRole::v_proj:
      return key_size(block);
    case LinearRole::qkv_proj:
      return query_size(block) + 2 * key_size(block);
    case LinearRole::gate_proj:
    case LinearRole::up_proj:
      return shape(block).intermediate_size;
    case LinearRole::o_proj:
    case LinearRole::down_proj:
      return hidden_size;
  }
  return 0;
}

std::int64_t Architecture::in_features(std::int64_t block, LinearRole role) const {
  switch (role) {
    case LinearRole::o_proj:
      return query_size(block);
    case LinearRole::down_proj:
      return shape(block).intermediate_size;
    default:
      return hidden_size;
  }
}

std::int64_t Architecture::in_features(std::int64_t block, Stage stage) const {
  const std::vector<LinearRole> read = roles(block, stage);
  return read.empty() ? 0 : in_features(block, read.front());
}

std::int64_t Architecture::context_length() const {
  if (!rotary || rope.kind != RopeKind::dynamic) return max_position_embeddings;
  return static_cast<std::int64_t>(static_cast<double>(max_position_embeddings) *
                                   std::max(1.0, rope.factor));
}

std::int64_t Architecture::default_window() const {
  return std::min<std::int64_t>(context_length(), 2048);
}

std::vector<LinearRole> Architecture::roles(std::int64_t block) const {
  std::vector<LinearRole> found;
  for (const Stage stage : kStages)
    std::ranges::copy(roles(block, stage), std::back_inserter(found));
  return found;
}

std::vector<LinearRole> Architecture::roles(std::int64_t block, Stage stage) const {
  std::vector<LinearRole> found;
  if (!(of_attention(stage) ? has_attention(block) : has_mlp(block))) return found;
  const bool of_experts = !of_attention(stage) && has_experts(block);
  for (const auto& entry : of_experts ? experts.linears : linears) {
    if (stage_of(entry.first) == stage) found.push_back(entry.first);
  }
  return found;
}

std::int64_t Architecture::stacked(std::int64_t block, Stage stage) const {
  return !of_attention(stage) && has_experts(block) ? experts.per_token : 1;
}

std::vector<StageInput> Architecture::inputs(std::int64_t block, Stage stage) const {
  if (roles(block, stage).empty()) return {};
  if (of_attention(stage) || !has_experts(block)) return {stage};
  std::vector<StageInput> found;
  for (std::int64_t expert = 0; expert < shape(block).num_experts; ++expert) {
    found.emplace_back(stage, expert);
  }
  return found;
}

std::vector<LinearKey> Architecture::readers(std::int64_t block, const StageInput& input) const {
  std::vector<LinearKey> found;
  for (const LinearRole role : roles(block, input.stage)) found.emplace_back(role, input.expert);
  return found;
}

std::vector<LinearKey> Architecture::block_linears(std::int64_t block, Stage stage) const {
  std::vector<LinearKey> found;
  for (const StageInput& input : inputs(block, stage)) {
    std::ranges::copy(readers(block, input), std::back_inserter(found));
  }
  return found;
}

std::vector<LinearKey> Architecture::block_linears(std::int64_t block) const {
  std::vector<LinearKey> found;
  for (const Stage stage : kStages) {
    std::ranges::copy(block_linears(block, stage), std::back_inserter(found));
  }
  return found;
}

std::string Architecture::linear_name(std::int64_t block, const LinearKey& key) const {
  const std::string& pattern = (key.of_expert() ? experts.linears : linears).at(key.role);
  return replace_all(replace_all(pattern, "{}", std::to_string(block)), "{e}",
                     std::to_string(key.expert));
}

std::string Architecture::router_name(std::int64_t block) const {
  return replace_all(experts.router, "{}", std::to_string(block));
}

std::vector<NormRole> Architecture::norm_roles(std::int64_t block) const {
  std::vector<NormRole> found;
  for (const auto& entry : norms) {
    const NormRole role = entry.first;
    if (role == NormRole::final) continue;
    const bool there = role == NormRole::attention ? norm_after || has_attention(block)
                       : role == NormRole::mlp     ? norm_after || has_mlp(block)
                                                   : has_attention(block);
    if (there) found.push_back(role);
  }
  return found;
}

void Architecture::validate_sizes() const {
  check_size("hidden size", hidden_size, kWidest);
  check_size("number of blocks", num_hidden_layers, 1 << 12);
  check_size("number of attention heads", num_attention_heads, 1 << 12);
  check_size("head size", head_dim, 1 << 14);
  check_size("vocabulary size", vocab_size, 1 << 24);
  check_size("context length", max_position_embeddings, std::int64_t{1} << 31);
}

void Architecture::validate() const {
  validate_sizes();
  check_size("number of key-value heads", num_key_value_heads, num_attention_heads);
  check_size("intermediate size", intermediate_size, kWidest << 2);
  for (const BlockShape& each : block_shapes) {
    check_size("intermediate size", each.intermediate_size, kWidest << 2);
  }
  if (!experts.router.empty()) {
    check_size("number of experts", num_experts, kMostExperts);
    check_size("number of experts per token", experts.per_token, num_experts);
  }
  check_size("embedding size", embedding_size, kWidest);
  for (const std::int64_t window : sliding_window) {
    if (window < 0) throw bad_input("sliding window is {}; expected 0 or more", window);
  }
  if (num_attention_heads % num_key_value_heads != 0) {
    throw bad_input("{} attention heads cannot share {} key-value heads evenly",
                    num_attention_heads, num_key_value_heads);
  }
  if (rotary && (rope.dimensions < 2 || rope.dimensions % 2 != 0 || rope.dimensions > head_dim)) {
    throw bad_input("{} rotary dimensions in heads of {}; expected an even number up to it",
                    rope.dimensions, head_dim);
  }
  if (rotary) check_frequencies(*this);
  if (!(norm_eps >= 0 && norm_eps < 1)) {
    throw bad_input("norm epsilon is {}; expected 0 to 1", norm_eps);
  }
}

void require_no_experts(const Architecture& architecture, std::string_view what) {
  if (architecture.num_experts == 0) return;
  throw bad_usage("{} is not possible with experts yet, which this {} model has", what,
                  architecture.family);
}

std::map<std::string, FamilyParser>& family_registry() {
  static std::map<std::string, FamilyParser> registry;
  return registry;
}

Architecture parse_architecture(const Json& config) {
  const std::string type = get_string(config, "model_type");
  const auto family = family_registry().find(type);
  if (family == family_registry().end()) {
    std::vector<std::string> known;
    for (const auto& entry : family_registry()) known.push_back(entry.first);
    throw bad_input("model_type '{}' is not a known family; known are {}", type,
                    fmt::join(known, ", "));
  }
  Architecture architecture = family->second(config);
  architecture.family = type;
  architecture.validate();
  read_block_shapes(config, architecture);
  return architecture;
}

}  // namespace terse
