// A model family as data: everything that the one forward pass must know.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"

namespace terse {

enum class NormKind { rms, layer };
enum class Activation { silu, gelu, gelu_tanh, relu };

/// Linears of a block, in the order in which the forward pass applies them.
enum class LinearRole { q_proj, k_proj, v_proj, qkv_proj, o_proj, gate_proj, up_proj, down_proj };

/// Norms: of a block (before or after attention and MLP, on query and key heads) and the last one.
enum class NormRole { attention, mlp, q_norm, k_norm, final };

/// Matrices on the residual stream: before the sums with the outputs of attention and MLP.
enum class ShortcutRole { attention, mlp };

/// A block is computed in four stages; the linears of one stage read the same input.
enum class Stage { attention_input, attention_output, mlp_input, mlp_output };

inline constexpr Stage kStages[] = {Stage::attention_input, Stage::attention_output,
                                    Stage::mlp_input, Stage::mlp_output};

std::string_view role_name(LinearRole role);
Stage stage_of(LinearRole role);

/// Instead of the number of an expert: not of an expert.
inline constexpr std::int64_t kNoExpert = -1;

/// What one or more linears of a block read: the input of a stage, or the rows of it that are an
/// expert's.
struct StageInput {
  Stage stage = Stage::attention_input;
  std::int64_t expert = kNoExpert;

  // NOLINTNEXTLINE(google-explicit-constructor): a stage without experts is its input.
  StageInput(Stage of_stage, std::int64_t of_expert = kNoExpert)
      : stage(of_stage), expert(of_expert) {}
  auto operator<=>(const StageInput&) const = default;
};

/// Which linear of a block: its role and, where several have this role, the expert whose it is.
struct LinearKey {
  LinearRole role = LinearRole::q_proj;
  std::int64_t expert = kNoExpert;

  // NOLINTNEXTLINE(google-explicit-constructor): where there are no experts the role says it all.
  LinearKey(LinearRole with_role, std::int64_t of_expert = kNoExpert)
      : role(with_role), expert(of_expert) {}
  StageInput input() const { return {stage_of(role), expert}; }
  bool of_expert() const { return expert != kNoExpert; }
  auto operator<=>(const LinearKey&) const = default;
};

/// How a fused q/k/v linear orders its outputs: all q, all k, all v (GPT-2), or q, k, v of one head
/// after another (GPT-NeoX).
enum class FusedLayout { blocks, heads };

enum class RopeKind { none, linear, dynamic, llama3, yarn };

/// Rotary positions and their scaling, in the words of `rope_scaling` (transformers,
/// modeling_rope_utils.py).
struct Rope {
  double theta = 10000.0;
  std::int64_t dimensions = 0;  ///< Values of a head that are turned; even.
  RopeKind kind = RopeKind::none;
  double factor = 1.0;
  double original_max_position_embeddings = 0;
  double low_freq_factor = 1.0;   ///< llama3
  double high_freq_factor = 4.0;  ///< llama3
  double beta_fast = 32.0;        ///< yarn
  double beta_slow = 1.0;         ///< yarn
  double attention_factor = 1.0;  ///< yarn: cosines and sines are multiplied by it
  bool truncate = true;           ///< yarn: whether the bounds of the ramp are whole numbers
};

/// MLPs of which each row takes a few: those whose router logits are the largest, summed with the
/// softmax of these logits as weights.
struct Experts {
  std::int64_t per_token = 0;
  bool normalised = true;  ///< The weights of the experts that a row takes sum to one.
  std::string router;      ///< Name, as those of Architecture.
  std::map<LinearRole, std::string> linears;  ///< Names; "{e}" stands for the number of the expert.
};

/// Sizes of one block. A block without heads has no attention, one without channels no MLP: the
/// residual stream passes by.
struct BlockShape {
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t intermediate_size = 0;  ///< Of each expert, where there are any.
  std::int64_t num_experts = 0;        ///< 0: one MLP for all rows.

  bool operator==(const BlockShape&) const = default;
};

/// A model family as data. Sizes in elements. Names are those of the tensors without ".weight" or
/// ".bias"; "{}" stands for the number of the block.
struct Architecture {
  std::string family;  ///< `model_type`
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t max_position_embeddings = 0;

  std::int64_t num_attention_heads = 0;  ///< Where blocks differ: of the largest.
  std::int64_t num_key_value_heads = 0;  ///< The same.
  std::int64_t head_dim = 0;
  bool rotary = false;
  Rope rope;
  bool learned_positions = false;
  std::int64_t position_offset = 0;          ///< First row of learned positions (OPT: 2).
  std::vector<std::int64_t> sliding_window;  ///< By block; 0 is none.
  std::vector<double> attention_scale;       ///< By block.
  bool qk_norm = false;

  std::int64_t intermediate_size = 0;  ///< Where blocks differ: of the largest.
  std::int64_t num_experts = 0;        ///< The same; 0: no block has experts.
  Experts experts;
  bool gated = false;
  Activation activation = Activation::silu;

  NormKind norm = NormKind::rms;
  double norm_eps = 1e-5;
  bool norm_affine = true;         ///< Whether norms have weights.
  bool norm_after = false;         ///< Norms follow the residual sums (post-norm).
  bool parallel_residual = false;  ///< Attention and MLP read the same residual.
  bool final_norm = true;
  /// Whether the residual stream of a block is multiplied by a matrix [hidden, hidden] before each
  /// of its two sums (SliceGPT).
  bool shortcuts = false;

  bool tie_word_embeddings = false;
  std::int64_t embedding_size = 0;  ///< Width of the embedding and of the head's input.
  bool projected_embeddings = false;

  bool conv1d = false;  ///< Linears of blocks are stored [in, out].
  FusedLayout fused_layout = FusedLayout::blocks;
  std::string prefix;  ///< Before every name but the head's; may be absent in a file.
  std::map<LinearRole, std::string> linears;  ///< But those of experts.
  std::set<LinearRole> biases;
  std::map<NormRole, std::string> norms;
  std::string embedding;
  std::string positions;
  std::string project_in;
  std::string project_out;
  std::string head;
  bool head_bias = false;

  /// By block, where blocks differ; else empty.
  std::vector<BlockShape> block_shapes;

  BlockShape shape(std::int64_t block) const;

  /// Output and input features of a linear of a block.
  std::int64_t out_features(std::int64_t block, LinearRole role) const;
  std::int64_t in_features(std::int64_t block, LinearRole role) const;
  /// Input features of the linears of a stage; 0 where there are none.
  std::int64_t in_features(std::int64_t block, Stage stage) const;
  std::int64_t query_size(std::int64_t block) const {
    return shape(block).num_attention_heads * head_dim;
  }
  std::int64_t key_size(std::int64_t block) const {
    return shape(block).num_key_value_heads * head_dim;
  }
  /// Key features of all blocks together.
  std::int64_t all_key_features() const;
  bool has_attention(std::int64_t block) const { return shape(block).num_attention_heads > 0; }
  bool has_mlp(std::int64_t block) const { return shape(block).intermediate_size > 0; }
  bool has_experts(std::int64_t block) const { return shape(block).num_experts > 0; }

  /// Positions that a sequence may have: dynamic scaling stretches those that were trained.
  std::int64_t context_length() const;

  /// Tokens of a window of text where none is asked for: the context, up to the 2048 of the
  /// published tables.
  std::int64_t default_window() const;

  /// Roles that linears of a block have, and those of one stage of it.
  std::vector<LinearRole> roles(std::int64_t block) const;
  std::vector<LinearRole> roles(std::int64_t block, Stage stage) const;

  /// What the linears of a stage of a block read, and those that read one such input.
  std::vector<StageInput> inputs(std::int64_t block, Stage stage) const;
  std::vector<LinearKey> readers(std::int64_t block, const StageInput& input) const;

  /// How often a row counts among the inputs of a stage: once, or for each expert that it takes.
  std::int64_t stacked(std::int64_t block, Stage stage) const;

  /// All linears of a block, and those of one stage of it, input after input.
  std::vector<LinearKey> block_linears(std::int64_t block) const;
  std::vector<LinearKey> block_linears(std::int64_t block, Stage stage) const;

  /// Name of a linear of a block, and of its router, without `prefix`.
  std::string linear_name(std::int64_t block, const LinearKey& key) const;
  std::string router_name(std::int64_t block) const;

  /// Norms of a block. One that follows a residual sum is there even where nothing is added.
  std::vector<NormRole> norm_roles(std::int64_t block) const;

  /// Values of a norm of a block.
  std::int64_t norm_size(NormRole role) const {
    return role == NormRole::q_norm || role == NormRole::k_norm ? head_dim : hidden_size;
  }

  /// Checks the sizes that others are computed from: vocabulary, width, blocks, heads, positions.
  /// Errors: bad_input.
  void validate_sizes() const;

  /// Checks that all sizes fit together and are within sane bounds. Errors: bad_input.
  void validate() const;
};

/// Errors: bad_usage for a model with experts; `what` cannot work with them.
void require_no_experts(const Architecture& architecture, std::string_view what);

/// The architecture that a config.json describes. Errors: bad_input; an unknown `model_type` is
/// named with those that are known.
Architecture parse_architecture(const Json& config);

}  // namespace terse
