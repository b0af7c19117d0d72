// One block of a small llama with grouped heads, and inputs for its stages, for tests of block
// methods.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "methods/random_problems.h"
#include "terse/methods/block_method.h"
#include "terse/model/weights/dense.h"

namespace terse::testing {

class TinyBlock {
 public:
  explicit TinyBlock(std::uint64_t seed) : architecture_(small_llama()) {
    for (const auto& [role, name] : architecture_.linears) {
      const Matrix weight = random_matrix(architecture_.out_features(0, role),
                                          architecture_.in_features(0, role), ++seed * 100, 0.1);
      block_.linears[role] = {"block." + std::string(role_name(role)),
                              std::make_shared<DenseWeight>(weight, DType::f32), Vector()};
    }
    for (const NormRole role : {NormRole::attention, NormRole::mlp}) {
      block_.norms[role] = {Vector::Constant(hidden(), 1.5F), Vector()};
    }
    for (const Stage stage : kStages) set_inputs(stage, Matrix(0, input_width(stage)));
  }

  std::int64_t hidden() const { return architecture_.hidden_size; }
  std::int64_t intermediate() const { return architecture_.intermediate_size; }
  std::int64_t input_width(Stage stage) const { return architecture_.in_features(0, stage); }

  Block& block() { return block_; }
  Matrix weight(LinearRole role) const { return block_.linears.at(role).weight->dense(); }
  void set_weight(LinearRole role, const Matrix& weight) {
    block_.linears.at(role).weight = std::make_shared<DenseWeight>(weight, DType::f32);
  }

  const Matrix& input(Stage stage) const { return inputs_.at(stage); }
  const InputStatistics& statistics(Stage stage) const { return statistics_.at(stage); }
  void set_inputs(Stage stage, const Matrix& inputs) {
    inputs_[stage] = inputs;
    statistics_.erase(stage);
    statistics_.emplace(stage, statistics_of(inputs));
  }

  std::vector<BlockReport> transform(const std::string& method,
                                     const std::map<std::string, std::string>& given) {
    const MethodOptions options(MethodRegistry::instance().find(method), given);
    return make_block_method(method, options, {})
        ->transform({0, architecture_, block_, statistics_, [](LinearRole) { return true; }});
  }

 private:
  static Architecture small_llama() {
    return parse_architecture({{"model_type", "llama"},
                               {"vocab_size", 8},
                               {"hidden_size", 48},
                               {"intermediate_size", 80},
                               {"num_hidden_layers", 1},
                               {"num_attention_heads", 4},
                               {"num_key_value_heads", 2},
                               {"head_dim", 8},
                               {"max_position_embeddings", 64},
                               {"rms_norm_eps", 1e-5}});
  }

  Architecture architecture_;
  Block block_;
  std::map<Stage, Matrix> inputs_;
  std::map<StageInput, InputStatistics> statistics_;
};

}  // namespace terse::testing
