#include "terse/model/initial_weights.h"

#include <cmath>
#include <utility>

#include "terse/core/random.h"
#include "terse/core/text.h"

namespace terse {
namespace {

class InitialTensors {
 public:
  explicit InitialTensors(const Architecture& architecture) : a_(architecture) {}

  std::vector<InitialTensor> make() {
    add_normal(a_.prefix + a_.embedding, {a_.vocab_size, a_.embedding_size});
    if (a_.learned_positions) {
      add_normal(a_.prefix + a_.positions,
                 {a_.max_position_embeddings + a_.position_offset, a_.hidden_size});
    }
    if (a_.projected_embeddings) {
      add_normal(a_.prefix + a_.project_in, {a_.hidden_size, a_.embedding_size});
      add_normal(a_.prefix + a_.project_out, {a_.embedding_size, a_.hidden_size});
    }
    for (std::int64_t block = 0; block < a_.num_hidden_layers; ++block) add_block(block);
    if (a_.final_norm) add_norm(a_.norms.at(NormRole::final), a_.hidden_size);
    if (!a_.tie_word_embeddings) add_normal(a_.head, {a_.vocab_size, a_.embedding_size});
    if (a_.head_bias) add(a_.head + ".bias", {a_.vocab_size}, InitialValues::zeros);
    return std::move(tensors_);
  }

 private:
  void add_block(std::int64_t block) {
    const auto name = [block](const std::string& pattern) {
      return replace_all(pattern, "{}", std::to_string(block));
    };
    for (const NormRole role : a_.norm_roles(block)) {
      add_norm(name(a_.norms.at(role)), a_.norm_size(role));
    }
    for (const LinearKey& key : a_.block_linears(block)) {
      const LinearRole role = key.role;
      const std::string module = a_.prefix + a_.linear_name(block, key);
      Shape shape{a_.out_features(block, role), a_.in_features(block, role)};
      if (a_.biases.contains(role)) add(module + ".bias", {shape[0]}, InitialValues::zeros);
      const bool to_residual = role == LinearRole::o_proj || role == LinearRole::down_proj;
      if (a_.conv1d) std::swap(shape[0], shape[1]);
      add(module + ".weight", shape,
          to_residual ? InitialValues::normal_to_residual : InitialValues::normal);
    }
    if (a_.has_experts(block)) {
      add_normal(a_.prefix + a_.router_name(block), {a_.shape(block).num_experts, a_.hidden_size});
    }
  }

  void add_norm(const std::string& module, std::int64_t size) {
    if (!a_.norm_affine) return;
    add(a_.prefix + module + ".weight", {size}, InitialValues::ones);
    if (a_.norm == NormKind::layer) add(a_.prefix + module + ".bias", {size}, InitialValues::zeros);
  }

  void add_normal(const std::string& module, const Shape& shape) {
    add(module + ".weight", shape, InitialValues::normal);
  }

  void add(std::string name, Shape shape, InitialValues values) {
    tensors_.push_back({std::move(name), std::move(shape), values});
  }

  const Architecture& a_;
  std::vector<InitialTensor> tensors_;
};

}  // namespace

std::vector<InitialTensor> initial_tensors(const Architecture& architecture) {
  return InitialTensors(architecture).make();
}

std::vector<NamedTensor> initial_weights(const Architecture& architecture, double deviation,
                                         std::uint64_t seed) {
  Random random(seed);
  const auto blocks = static_cast<double>(architecture.num_hidden_layers);
  const auto value = [&](InitialValues values) {
    if (values == InitialValues::ones) return 1.0;
    if (values == InitialValues::zeros) return 0.0;
    const bool to_residual = values == InitialValues::normal_to_residual;
    return (to_residual ? deviation / std::sqrt(2 * blocks) : deviation) * random.normal();
  };
  std::vector<NamedTensor> tensors;
  for (const InitialTensor& tensor : initial_tensors(architecture)) {
    std::vector<float> values(static_cast<std::size_t>(element_count(tensor.shape)));
    for (float& each : values) each = static_cast<float>(value(tensor.values));
    tensors.push_back({tensor.name, Tensor::from_floats(DType::f32, tensor.shape, values)});
  }
  return tensors;
}

}  // namespace terse
