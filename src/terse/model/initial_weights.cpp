#include "terse/model/initial_weights.h"

#include <cmath>
#include <string>
#include <utility>

#include "terse/core/random.h"
#include "terse/core/text.h"

namespace terse {
namespace {

class InitialWeights {
 public:
  InitialWeights(const Architecture& architecture, double deviation, std::uint64_t seed)
      : a_(architecture), deviation_(deviation), random_(seed) {}

  std::vector<NamedTensor> make() {
    add_normal(a_.prefix + a_.embedding, {a_.vocab_size, a_.embedding_size}, deviation_);
    if (a_.learned_positions) {
      add_normal(a_.prefix + a_.positions,
                 {a_.max_position_embeddings + a_.position_offset, a_.hidden_size}, deviation_);
    }
    if (a_.projected_embeddings) {
      add_normal(a_.prefix + a_.project_in, {a_.hidden_size, a_.embedding_size}, deviation_);
      add_normal(a_.prefix + a_.project_out, {a_.embedding_size, a_.hidden_size}, deviation_);
    }
    for (std::int64_t block = 0; block < a_.num_hidden_layers; ++block) add_block(block);
    if (a_.final_norm) add_norm(a_.norms.at(NormRole::final), a_.hidden_size);
    if (!a_.tie_word_embeddings) {
      add_normal(a_.head, {a_.vocab_size, a_.embedding_size}, deviation_);
    }
    if (a_.head_bias) add_constant(a_.head + ".bias", a_.vocab_size, 0.0F);
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
      if (a_.biases.contains(role)) {
        add_constant(module + ".bias", shape[0], 0.0F);
      }
      const bool to_residual = role == LinearRole::o_proj || role == LinearRole::down_proj;
      const double blocks = static_cast<double>(a_.num_hidden_layers);
      if (a_.conv1d) std::swap(shape[0], shape[1]);
      add_normal(module, shape, to_residual ? deviation_ / std::sqrt(2 * blocks) : deviation_);
    }
    if (a_.has_experts(block)) {
      add_normal(a_.prefix + a_.router_name(block), {a_.shape(block).num_experts, a_.hidden_size},
                 deviation_);
    }
  }

  void add_norm(const std::string& module, std::int64_t size) {
    if (!a_.norm_affine) return;
    add_constant(a_.prefix + module + ".weight", size, 1.0F);
    if (a_.norm == NormKind::layer) add_constant(a_.prefix + module + ".bias", size, 0.0F);
  }

  void add_normal(const std::string& module, const Shape& shape, double deviation) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (float& value : values) value = static_cast<float>(deviation * random_.normal());
    tensors_.push_back({module + ".weight", Tensor::from_floats(DType::f32, shape, values)});
  }

  void add_constant(const std::string& name, std::int64_t size, float value) {
    const std::vector<float> values(static_cast<std::size_t>(size), value);
    tensors_.push_back({name, Tensor::from_floats(DType::f32, {size}, values)});
  }

  const Architecture& a_;
  double deviation_;
  Random random_;
  std::vector<NamedTensor> tensors_;
};

}  // namespace

std::vector<NamedTensor> initial_weights(const Architecture& architecture, double deviation,
                                         std::uint64_t seed) {
  return InitialWeights(architecture, deviation, seed).make();
}

}  // namespace terse
