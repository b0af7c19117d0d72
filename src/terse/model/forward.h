// The one forward pass: written once over an interface of operations and driven by an Architecture.
// Calibration, evaluation and generation run it on our kernels (cpu_operations.h); training runs
// the same text on differentiable operations.
#pragma once

#include <concepts>
#include <cstdint>
#include <utility>

#include "terse/model/architecture.h"

namespace terse {

/// Queries, keys and values of a batch of rows.
template <class Value>
struct QueryKeyValue {
  Value query;  ///< [rows, num_attention_heads * head_dim]
  Value key;    ///< [rows, num_key_value_heads * head_dim]
  Value value;  ///< as key
};

/// What the forward pass asks of an implementation. A Value is a batch of rows [rows, features];
/// the implementation knows the rows' tokens, sequences and positions, and the model's parameters.
template <class O>
concept Operations = requires(O& ops, typename O::Value v, const typename O::Value& x,
                              std::int64_t block, NormRole norm, LinearRole role,
                              ShortcutRole shortcut, QueryKeyValue<typename O::Value> qkv) {
  /// Token embeddings of the rows (projected to the hidden size where the family does so), with
  /// learned positions added.
  { ops.embed() } -> std::same_as<typename O::Value>;
  { ops.norm(block, norm, x) } -> std::same_as<typename O::Value>;
  /// x W^T + b.
  { ops.linear(block, role, x) } -> std::same_as<typename O::Value>;
  /// Cuts the output of a fused linear of a block.
  { ops.split(block, v) } -> std::same_as<QueryKeyValue<typename O::Value>>;
  /// Norms the heads of queries or keys one by one.
  { ops.head_norm(block, norm, v) } -> std::same_as<typename O::Value>;
  /// Turns the heads by their rows' positions.
  { ops.rotate(v) } -> std::same_as<typename O::Value>;
  /// Causal attention of every row over its sequence, this batch's keys and values included.
  { ops.attend(block, qkv) } -> std::same_as<typename O::Value>;
  /// The residual stream of a block times the matrix before one of its sums.
  { ops.shortcut(block, shortcut, x) } -> std::same_as<typename O::Value>;
  /// activation(gate) * up, and activation(up).
  { ops.gated_activation(v, x) } -> std::same_as<typename O::Value>;
  { ops.activation(v) } -> std::same_as<typename O::Value>;
  /// Sum; the first argument may be used as the result.
  { ops.add(v, x) } -> std::same_as<typename O::Value>;
  /// Logits [rows, vocab_size] of normed hidden states.
  { ops.head(x) } -> std::same_as<typename O::Value>;
};

/// What blocks with experts ask for besides. Routes come first: how much of each expert each row
/// takes, [rows, experts], 0 where it takes none. A stack holds the rows that each expert takes,
/// one expert's after another's.
template <class O>
concept RoutingOperations = Operations<O> &&
    requires(O& ops, const typename O::Value& x, const typename O::Value& routes,
             std::int64_t block, LinearRole role) {
  { ops.route(block, x) } -> std::same_as<typename O::Value>;
  { ops.gather(routes, x) } -> std::same_as<typename O::Value>;
  /// x W^T + b of each expert over its rows of a stack.
  { ops.expert_linears(block, role, routes, x) } -> std::same_as<typename O::Value>;
  /// For each row the sum of what its experts made of it in a stack, weighted by its routes.
  { ops.scatter(routes, x) } -> std::same_as<typename O::Value>;
};

/// The forward pass of a decoder. A block is four stages; each applies the linears that read one
/// input and computes the input of the next, so that calibration can stop between them.
template <Operations Ops>
class Forward {
 public:
  using Value = typename Ops::Value;

  /// Between two stages: the residual stream and what the linears of the next stage read. Before
  /// and within an MLP with experts this is a stack of the rows of each, by `routes`.
  struct State {
    Value residual;
    Value input;
    Value routes = {};
  };

  Forward(const Architecture& architecture, Ops& ops) : a_(architecture), ops_(ops) {}

  Value embed() { return ops_.embed(); }

  /// The state before the first stage of a block.
  State begin(std::int64_t block, Value hidden) {
    if (!a_.has_attention(block)) return {std::move(hidden), Value()};
    Value input = a_.norm_after ? hidden : ops_.norm(block, NormRole::attention, hidden);
    return {std::move(hidden), std::move(input)};
  }

  /// Applies the linears of a stage, where the block has them. After the last one `residual` is the
  /// output of the block.
  State advance(std::int64_t block, Stage stage, State state) {
    switch (stage) {
      case Stage::attention_input:
        if (!a_.has_attention(block)) return state;
        return {std::move(state.residual), attention(block, state.input)};
      case Stage::attention_output:
        return attention_output(block, std::move(state));
      case Stage::mlp_input:
        if (!a_.has_mlp(block)) return state;
        state.input = mlp_hidden(block, state);
        return state;
      case Stage::mlp_output:
        return mlp_output(block, std::move(state));
    }
    return state;
  }

  Value block(std::int64_t block, Value hidden) {
    State state = begin(block, std::move(hidden));
    for (const Stage stage : kStages) state = advance(block, stage, std::move(state));
    return std::move(state.residual);
  }

  /// All blocks and the last norm: what the head reads.
  Value hidden() {
    Value x = embed();
    for (std::int64_t i = 0; i < a_.num_hidden_layers; ++i) x = block(i, std::move(x));
    return finish(std::move(x));
  }

  Value finish(Value x) { return a_.final_norm ? ops_.norm(0, NormRole::final, x) : std::move(x); }

  Value logits() { return ops_.head(hidden()); }

 private:
  Value attention(std::int64_t block, const Value& input) {
    QueryKeyValue<Value> qkv = query_key_value(block, input);
    if (a_.qk_norm) {
      qkv.query = ops_.head_norm(block, NormRole::q_norm, std::move(qkv.query));
      qkv.key = ops_.head_norm(block, NormRole::k_norm, std::move(qkv.key));
    }
    if (a_.rotary) {
      qkv.query = ops_.rotate(std::move(qkv.query));
      qkv.key = ops_.rotate(std::move(qkv.key));
    }
    return ops_.attend(block, std::move(qkv));
  }

  QueryKeyValue<Value> query_key_value(std::int64_t block, const Value& input) {
    if (a_.linears.contains(LinearRole::qkv_proj)) {
      return ops_.split(block, ops_.linear(block, LinearRole::qkv_proj, input));
    }
    return {ops_.linear(block, LinearRole::q_proj, input),
            ops_.linear(block, LinearRole::k_proj, input),
            ops_.linear(block, LinearRole::v_proj, input)};
  }

  State attention_output(std::int64_t block, State state) {
    Value before = a_.parallel_residual ? state.residual : Value();
    Value sum = plus(block, LinearRole::o_proj, a_.has_attention(block), std::move(state));
    if (a_.norm_after) {
      sum = ops_.norm(block, NormRole::attention, sum);
      Value input = sum;
      return before_mlp(block, std::move(sum), std::move(input));
    }
    if (!a_.has_mlp(block)) return {std::move(sum), Value()};
    Value input = ops_.norm(block, NormRole::mlp, a_.parallel_residual ? before : sum);
    return before_mlp(block, std::move(sum), std::move(input));
  }

  State before_mlp(std::int64_t block, Value residual, Value input) {
    if constexpr (RoutingOperations<Ops>) {
      if (a_.has_experts(block)) {
        Value routes = ops_.route(block, input);
        Value stack = ops_.gather(routes, input);
        return {std::move(residual), std::move(stack), std::move(routes)};
      }
    }
    return {std::move(residual), std::move(input)};
  }

  // The residual stream with what a part of the block adds to it.
  Value plus(std::int64_t block, LinearRole role, bool present, State state) {
    if (!present) return std::move(state.residual);
    if (a_.shortcuts) {
      const ShortcutRole shortcut =
          role == LinearRole::o_proj ? ShortcutRole::attention : ShortcutRole::mlp;
      state.residual = ops_.shortcut(block, shortcut, state.residual);
    }
    return ops_.add(linear(block, role, state), state.residual);
  }

  // A linear of all rows, or those of the experts over theirs: what the last ones make is summed.
  Value linear(std::int64_t block, LinearRole role, const State& state) {
    if constexpr (RoutingOperations<Ops>) {
      if (a_.has_experts(block) && a_.experts.linears.contains(role)) {
        Value stack = ops_.expert_linears(block, role, state.routes, state.input);
        return role == LinearRole::down_proj ? ops_.scatter(state.routes, stack) : std::move(stack);
      }
    }
    return ops_.linear(block, role, state.input);
  }

  Value mlp_hidden(std::int64_t block, const State& state) {
    Value up = linear(block, LinearRole::up_proj, state);
    if (!a_.gated) return ops_.activation(std::move(up));
    return ops_.gated_activation(linear(block, LinearRole::gate_proj, state), up);
  }

  State mlp_output(std::int64_t block, State state) {
    Value sum = plus(block, LinearRole::down_proj, a_.has_mlp(block), std::move(state));
    if (a_.norm_after) sum = ops_.norm(block, NormRole::mlp, sum);
    return {std::move(sum), Value()};
  }

  const Architecture& a_;
  Ops& ops_;
};

}  // namespace terse
