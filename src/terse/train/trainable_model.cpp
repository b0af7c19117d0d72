#include "terse/train/trainable_model.h"

#include <fmt/format.h>

#include "terse/model/weights/low_rank.h"
#include "terse/model/weights/shared.h"
#include "terse/train/parametrisations/dense.h"
#include "terse/train/parametrisations/low_rank.h"
#include "terse/train/parametrisations/shared.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

std::unique_ptr<Parametrisation> fixed(const Linear& linear, const torch::Device& device) {
  return fixed_parametrisation(linear.weight, device);
}

// Adds a vector, where there is one.
void add_vector(std::vector<Parameter>& parameters, const std::string& name,
                const torch::Tensor& value) {
  if (value.defined() && value.requires_grad()) parameters.push_back({name, value, false});
}

void add_weight(std::vector<Parameter>& parameters, const std::string& module,
                const Parametrisation* weight) {
  if (weight == nullptr) return;
  for (Parameter parameter : weight->parameters()) {
    parameter.name = module + "." + parameter.name;
    parameters.push_back(std::move(parameter));
  }
}

// Trained where the weight that it is added to is.
std::unique_ptr<Parametrisation> own_difference(const Shared& shared, const Parametrisation& base,
                                                const torch::Device& device) {
  if (shared.difference() == nullptr) return nullptr;
  if (base.parameters().empty()) return fixed_parametrisation(shared.difference(), device);
  const auto& factors = dynamic_cast<const LowRank&>(*shared.difference());
  return low_rank_parametrisation(dense_parametrisation(factors.a()->dense(), device),
                                  dense_parametrisation(factors.b()->dense(), device));
}

// A checkpoint as it fills.
class Store {
 public:
  explicit Store(DType dtype) : dtype_(dtype) {}

  void add(const std::string& module, const Parametrisation* weight, bool transposed) {
    if (weight == nullptr) return;
    stored_.weights[module] = weight->fold(dtype_, transposed);
  }

  void add(const std::string& name, const torch::Tensor& values) {
    if (!values.defined()) return;
    const torch::Tensor floats = values.detach().to(torch::kCPU, torch::kFloat).contiguous();
    stored_.vectors.push_back(
        {name, Tensor::from_floats(
                   dtype_, floats.sizes().vec(),
                   {floats.data_ptr<float>(), static_cast<std::size_t>(floats.numel())})});
  }

  void add(const TrainableNorm& norm) {
    if (norm.module.empty()) return;
    add(norm.module + ".weight", norm.weight);
    add(norm.module + ".bias", norm.bias);
  }

  TrainableModel::Stored take() { return std::move(stored_); }

 private:
  DType dtype_;
  TrainableModel::Stored stored_;
};

}  // namespace

TrainingChoice train_everything(const torch::Device& device) {
  return {[device](std::int64_t, const LinearKey&, const Linear& linear) {
    return dense_parametrisation(linear.weight->dense(), device);
  }};
}

TrainingChoice train_nothing(const torch::Device& device) {
  return {[device](std::int64_t, const LinearKey&, const Linear& linear) {
            return fixed(linear, device);
          },
          false, false};
}

TrainableModel::TrainableModel(const Model& model, const TrainingChoice& choice,
                               const torch::Device& device)
    : architecture_(model.architecture()),
      device_(device),
      embedding_module_(model.tied_module()),
      head_module_(model.head_module()),
      positions_module_(model.positions_module()),
      project_in_module_(model.project_in_module()),
      project_out_module_(model.project_out_module()) {
  for (std::int64_t block = 0; block < architecture_.num_hidden_layers; ++block) {
    blocks_.push_back(make_block(model, block, choice));
  }
  if (architecture_.final_norm) {
    final_norm_ =
        make_norm(model.norm_module(0, NormRole::final), model.final_norm(), choice.vectors);
  }
  embedding_ = make_outer(model.shared_embedding(), choice.embeddings);
  if (architecture_.learned_positions) {
    positions_ = to_torch(model.positions(), device_).requires_grad_(choice.embeddings);
  }
  if (architecture_.projected_embeddings) {
    project_in_ = make_outer(model.project_in(), choice.embeddings);
    project_out_ = make_outer(model.project_out(), choice.embeddings);
  }
  head_ = model.tied() ? embedding_ : make_outer(model.head().weight, choice.embeddings);
  head_bias_ = make_vector(model.head().bias, choice.vectors);
}

TrainableModel::TrainableModel(const Model& model, std::int64_t block, const TrainingChoice& choice,
                               const torch::Device& device)
    : architecture_(model.architecture()),
      device_(device),
      blocks_(static_cast<std::size_t>(architecture_.num_hidden_layers)) {
  blocks_[static_cast<std::size_t>(block)] = make_block(model, block, choice);
}

TrainableBlock TrainableModel::make_block(const Model& model, std::int64_t index,
                                          const TrainingChoice& choice) const {
  require_no_experts(architecture_, "training");
  const Block& from = model.block(index);
  TrainableBlock to;
  for (const auto& [key, linear] : from.linears) {
    to.linears[key] = {linear.module, make_linear(index, key, linear, choice),
                       make_vector(linear.bias, choice.vectors)};
  }
  for (const auto& [role, weight] : from.shortcuts) {
    to.shortcuts[role] = {
        model.shortcut_module(index, role), make_outer(weight, choice.vectors), {}};
  }
  for (const auto& [role, norm] : from.norms) {
    to.norms[role] = make_norm(model.norm_module(index, role), norm, choice.vectors);
  }
  return to;
}

// What has its weight from a linear of an earlier block is trained with it. Where that block is not
// there, the weight is like any other.
std::shared_ptr<Parametrisation> TrainableModel::make_linear(std::int64_t block,
                                                             const LinearKey& key,
                                                             const Linear& linear,
                                                             const TrainingChoice& choice) const {
  if (const auto* shared = dynamic_cast<const Shared*>(linear.weight.get())) {
    for (const TrainableBlock& earlier : blocks_) {
      const auto found = earlier.linears.find(key);
      if (found == earlier.linears.end() || found->second.module != shared->module()) continue;
      return shared_parametrisation(shared->module(), found->second.weight,
                                    own_difference(*shared, *found->second.weight, device_));
    }
  }
  return choice.linear(block, key, linear);
}

torch::Tensor TrainableModel::make_vector(const Vector& vector, bool train) const {
  if (vector.size() == 0) return {};
  return to_torch(vector, device_).requires_grad_(train);
}

// Norms without weights in the checkpoint (norm_affine) are ones that nothing trains.
TrainableNorm TrainableModel::make_norm(const std::string& module, const Norm& norm,
                                        bool train) const {
  const bool stored = architecture_.norm_affine;
  return {stored ? module : "", make_vector(norm.weight, train && stored),
          make_vector(norm.bias, train && stored)};
}

std::shared_ptr<Parametrisation> TrainableModel::make_outer(const std::shared_ptr<Weight>& weight,
                                                            bool train) const {
  if (train) return dense_parametrisation(weight->dense(), device_);
  return fixed_parametrisation(weight, device_);
}

const TrainableNorm& TrainableModel::norm(std::int64_t block, NormRole role) const {
  return role == NormRole::final ? final_norm_ : this->block(block).norms.at(role);
}

std::vector<Parameter> TrainableModel::parameters() const {
  std::vector<Parameter> all;
  add_weight(all, embedding_module_, embedding_.get());
  add_vector(all, positions_module_ + ".weight", positions_);
  add_weight(all, project_in_module_, project_in_.get());
  for (const TrainableBlock& block : blocks_) {
    for (const auto& [role, norm] : block.norms) {
      add_vector(all, norm.module + ".weight", norm.weight);
      add_vector(all, norm.module + ".bias", norm.bias);
    }
    for (const auto& [key, linear] : block.linears) {
      add_weight(all, linear.module, linear.weight.get());
      add_vector(all, linear.module + ".bias", linear.bias);
    }
    for (const auto& [role, shortcut] : block.shortcuts) {
      add_weight(all, shortcut.module, shortcut.weight.get());
    }
  }
  add_vector(all, final_norm_.module + ".weight", final_norm_.weight);
  add_vector(all, final_norm_.module + ".bias", final_norm_.bias);
  add_weight(all, project_out_module_, project_out_.get());
  if (head_ != embedding_) add_weight(all, head_module_, head_.get());
  add_vector(all, head_module_ + ".bias", head_bias_);
  return all;
}

std::vector<NamedTensor> TrainableModel::Stored::tensors() const {
  std::vector<NamedTensor> all = vectors;
  for (const auto& [module, weight] : weights) {
    for (NamedTensor& tensor : weight->tensors(module)) all.push_back(std::move(tensor));
  }
  return all;
}

TrainableModel::Stored TrainableModel::fold(DType dtype) const {
  Store store(dtype);
  store.add(embedding_module_, embedding_.get(), false);
  store.add(positions_module_ + ".weight", positions_);
  store.add(project_in_module_, project_in_.get(), false);
  for (const TrainableBlock& block : blocks_) {
    for (const auto& [role, norm] : block.norms) store.add(norm);
    for (const auto& [key, linear] : block.linears) {
      store.add(linear.module, linear.weight.get(), architecture_.conv1d);
      store.add(linear.module + ".bias", linear.bias);
    }
    for (const auto& [role, shortcut] : block.shortcuts) {
      store.add(shortcut.module, shortcut.weight.get(), false);
    }
  }
  store.add(final_norm_);
  store.add(project_out_module_, project_out_.get(), false);
  if (head_ != embedding_) store.add(head_module_, head_.get(), false);
  store.add(head_module_ + ".bias", head_bias_);
  return store.take();
}

}  // namespace terse::train
