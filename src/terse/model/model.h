// A model: an Architecture and the weights that a checkpoint gives it, wholly or block by block.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "terse/formats/checkpoint.h"
#include "terse/model/architecture.h"
#include "terse/model/weight.h"

namespace terse {

/// A weight with its bias and the name of its module in the checkpoint.
struct Linear {
  std::string module;
  std::shared_ptr<Weight> weight;
  Vector bias;  ///< Empty when there is none.
};

struct Norm {
  Vector weight;
  Vector bias;  ///< Empty for RMS norms.
};

/// Parameters of one block.
struct Block {
  std::map<LinearKey, Linear> linears;
  std::map<NormRole, Norm> norms;
  std::map<ShortcutRole, std::shared_ptr<Weight>> shortcuts;  ///< Where the architecture has them.
  Linear router;  ///< Without a weight where the block has no experts.
};

/// A causal language model. Opening reads headers only; blocks and head are loaded when asked.
class Model {
 public:
  /// Errors: bad_input for an unknown family, missing or wrong tensors.
  explicit Model(std::shared_ptr<const Checkpoint> checkpoint,
                 ActivationType activations = ActivationType::f32);
  static Model open(const std::filesystem::path& directory,
                    ActivationType activations = ActivationType::f32);

  /// Opens and loads everything.
  static Model load(const std::filesystem::path& directory,
                    ActivationType activations = ActivationType::f32);

  const Architecture& architecture() const { return architecture_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }

  /// The type of the model: that of the embedding or, when this is compressed, the config's
  /// `torch_dtype`.
  DType dtype() const { return dtype_; }

  /// The type that a tensor of real numbers is stored in; where there is none of that name, or not
  /// of real numbers, that of the model.
  DType stored_dtype(const std::string& tensor) const;

  /// Reads a block and, unless `prepare` is false, packs it for multiplication; errors name the
  /// tensor, also where a value that is packed is not finite. `unload_block` frees it.
  void load_block(std::int64_t block, bool prepare = true);
  void unload_block(std::int64_t block);
  /// Has the system read the weights of a block soon, while something else is computed.
  void read_ahead(std::int64_t block) const;
  void load_head();
  void load_all();
  /// Every block as it is stored, nothing packed.
  void load_unprepared();

  /// Takes the attention or the MLP out of a loaded block: the residual stream passes by.
  void remove_attention(std::int64_t block);
  void remove_mlp(std::int64_t block);

  Block& block(std::int64_t index) { return blocks_[static_cast<std::size_t>(index)]; }
  const Block& block(std::int64_t index) const { return blocks_[static_cast<std::size_t>(index)]; }
  /// The weight of a linear, embedding or head as the checkpoint has it; `class_name` as in
  /// WeightSource. From headers alone.
  std::string stored_kind(const std::string& module, const std::string& class_name) const {
    return loader_.kind({*checkpoint_, module, class_name, {}, false});
  }
  bool stored_compressed(const std::string& module, const std::string& class_name) const {
    return loader_.compressed({*checkpoint_, module, class_name, {}, false});
  }

  /// A linear as it is stored, nothing packed.
  Linear read_linear(std::int64_t block, const LinearKey& key) const;

  /// Whether a linear has its weight from another one (weights/shared.h), and the module of that.
  bool shares(std::int64_t block, const LinearKey& key) const {
    const std::string module = linear_module(block, key);
    return weight_owner(module) != module;
  }
  std::string weight_owner(const std::string& module) const { return loader_.owner(module); }
  bool shares_any() const;

  const Norm& final_norm() const { return final_norm_; }
  const Weight& embedding() const { return *embedding_; }
  const std::shared_ptr<Weight>& shared_embedding() const { return embedding_; }
  const Matrix& positions() const { return positions_; }
  const Linear& head() const { return head_; }
  const std::shared_ptr<Weight>& project_in() const { return project_in_; }
  const std::shared_ptr<Weight>& project_out() const { return project_out_; }

  /// Names without ".weight", as the checkpoint has them. Of a tied embedding and head one is
  /// stored: `tied_module`; for an untied model it is the embedding.
  std::string linear_module(std::int64_t block, const LinearKey& key) const;
  std::string router_module(std::int64_t block) const;
  std::string norm_module(std::int64_t block, NormRole role) const;
  /// "model.layers.0.attention_shortcut".
  std::string shortcut_module(std::int64_t block, ShortcutRole role) const;
  std::string positions_module() const { return with_prefix(architecture_.positions); }
  std::string project_in_module() const { return with_prefix(architecture_.project_in); }
  std::string project_out_module() const { return with_prefix(architecture_.project_out); }
  const std::string& embedding_module() const { return embedding_module_; }
  const std::string& head_module() const { return architecture_.head; }
  const std::string& tied_module() const { return tied_module_; }
  bool tied() const { return architecture_.tie_word_embeddings; }

 private:
  std::string with_prefix(const std::string& name) const;
  bool stored(const std::string& module) const;
  Vector read_vector(const std::string& name, std::int64_t size) const;
  Norm read_norm(const std::string& module, std::int64_t size) const;
  Linear read_router(std::int64_t block) const;
  void make_ready(const Linear& linear, bool prepare) const;
  void open_embeddings();
  DType read_dtype() const;
  std::optional<DType> stored_as(const std::string& tensor) const;
  void drop_pages(const std::string& module) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  Architecture architecture_;
  std::string prefix_;
  WeightLoader loader_;
  DType dtype_ = DType::f32;
  std::vector<Block> blocks_;
  Norm final_norm_;
  std::string embedding_module_;
  std::string tied_module_;
  std::shared_ptr<Weight> embedding_;
  Matrix positions_;
  std::shared_ptr<Weight> project_in_;
  std::shared_ptr<Weight> project_out_;
  Linear head_;
};

}  // namespace terse
