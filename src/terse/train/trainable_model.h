// A model whose weights are functions of parameters.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "terse/model/model.h"
#include "terse/train/parametrisation.h"

namespace terse::train {

struct TrainableLinear {
  std::string module;
  std::shared_ptr<Parametrisation> weight;
  torch::Tensor bias;  ///< Undefined when there is none.
};

struct TrainableNorm {
  std::string module;
  torch::Tensor weight;
  torch::Tensor bias;  ///< Undefined for RMS norms.
};

struct TrainableBlock {
  std::map<LinearKey, TrainableLinear> linears;
  std::map<NormRole, TrainableNorm> norms;
  std::map<ShortcutRole, TrainableLinear> shortcuts;
};

/// What becomes of the weights of a model.
struct TrainingChoice {
  /// The parametrisation of a block's linear, by its place; the weight is not empty.
  std::function<std::unique_ptr<Parametrisation>(std::int64_t block, const LinearKey& key,
                                                 const Linear& linear)>
      linear;
  bool vectors = true;     ///< Whether norms and biases are trained.
  bool embeddings = true;  ///< Whether embedding, positions, projections and head are.
};

/// Everything is trained, dense.
TrainingChoice train_everything(const torch::Device& device);

/// Nothing is: a teacher.
TrainingChoice train_nothing(const torch::Device& device);

class TrainableModel {
 public:
  /// Copies a loaded model to the device.
  TrainableModel(const Model& model, const TrainingChoice& choice, const torch::Device& device);

  /// One block alone, which is loaded: nothing else is there. `fold` and `parameters` are for whole
  /// models.
  TrainableModel(const Model& model, std::int64_t block, const TrainingChoice& choice,
                 const torch::Device& device);

  const Architecture& architecture() const { return architecture_; }
  const torch::Device& device() const { return device_; }
  TrainableBlock& block(std::int64_t index) { return blocks_[static_cast<std::size_t>(index)]; }
  const TrainableBlock& block(std::int64_t index) const {
    return blocks_[static_cast<std::size_t>(index)];
  }
  const TrainableNorm& norm(std::int64_t block, NormRole role) const;
  const Parametrisation& embedding() const { return *embedding_; }
  const torch::Tensor& positions() const { return positions_; }
  const Parametrisation* project_in() const { return project_in_.get(); }
  const Parametrisation* project_out() const { return project_out_.get(); }
  /// The embedding where the two are tied.
  const Parametrisation& head() const { return *head_; }
  const torch::Tensor& head_bias() const { return head_bias_; }
  /// Logits [rows, vocabulary] of hidden states [rows, features] that the head reads.
  torch::Tensor logits(const torch::Tensor& hidden) const {
    return head_->apply(hidden, head_bias_);
  }

  /// Every parameter once, by the name of its tensor in a checkpoint, in a fixed order.
  std::vector<Parameter> parameters() const;

  /// What a checkpoint stores of the model, real numbers rounded to `dtype`: weights by module, and
  /// norms, biases and positions by the names of their tensors.
  struct Stored {
    std::map<std::string, std::shared_ptr<Weight>> weights;
    std::vector<NamedTensor> vectors;

    std::vector<NamedTensor> tensors() const;
  };
  Stored fold(DType dtype) const;

 private:
  TrainableNorm make_norm(const std::string& module, const Norm& norm, bool train) const;
  torch::Tensor make_vector(const Vector& vector, bool train) const;
  std::shared_ptr<Parametrisation> make_outer(const std::shared_ptr<Weight>& weight,
                                              bool train) const;
  TrainableBlock make_block(const Model& model, std::int64_t index,
                            const TrainingChoice& choice) const;
  std::shared_ptr<Parametrisation> make_linear(std::int64_t block, const LinearKey& key,
                                               const Linear& linear,
                                               const TrainingChoice& choice) const;

  Architecture architecture_;
  torch::Device device_;
  std::vector<TrainableBlock> blocks_;
  TrainableNorm final_norm_;
  std::string embedding_module_;
  std::string head_module_;
  std::string positions_module_;
  std::string project_in_module_;
  std::string project_out_module_;
  std::shared_ptr<Parametrisation> embedding_;
  torch::Tensor positions_;
  std::shared_ptr<Parametrisation> project_in_;
  std::shared_ptr<Parametrisation> project_out_;
  std::shared_ptr<Parametrisation> head_;
  torch::Tensor head_bias_;
};

}  // namespace terse::train
