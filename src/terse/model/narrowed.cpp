#include "terse/model/narrowed.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/model/block_shapes.h"

namespace terse {
namespace {

constexpr const char* kIdentity = "terse.identity";
constexpr const char* kIdentityFile = "identity.safetensors";
constexpr const char* kNormsFile = "norms.safetensors";
constexpr ShortcutRole kShortcuts[] = {ShortcutRole::attention, ShortcutRole::mlp};

// Whether linears take over the biases of layer norms.
bool takes_biases(const Architecture& a) {
  bool all = a.norm_affine && a.final_norm && !a.rotary;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const Stage stage : {Stage::attention_input, Stage::mlp_input}) {
      for (const LinearRole role : a.roles(block, stage)) all = all && a.biases.contains(role);
    }
  }
  return all;
}

void require_rotatable(const Architecture& a) {
  const bool in_turn = !a.norm_after && !a.parallel_residual && !a.projected_embeddings;
  if (!in_turn || (a.norm == NormKind::layer && !takes_biases(a))) {
    throw bad_usage(
        "the residual stream of this {} model cannot be turned: that needs norms before attention "
        "and MLP, one after the other, and linears with biases where these norms have some",
        a.family);
  }
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    if (a.has_attention(block) && a.has_mlp(block)) continue;
    throw bad_usage("block {} has no {}; rotate the residual stream before parts of blocks go",
                    block, a.has_attention(block) ? "MLP" : "attention");
  }
}

std::map<std::string, TensorPart> all_parts(const Checkpoint& checkpoint) {
  std::map<std::string, TensorPart> parts;
  for (const std::string& name : checkpoint.names()) parts[name] = {name};
  return parts;
}

class Narrowing {
 public:
  Narrowing(const Model& model, std::int64_t width)
      : model_(model), a_(model.architecture()), first_(static_cast<std::size_t>(width)) {
    std::iota(first_.begin(), first_.end(), 0);
  }

  Checkpoint write(const std::filesystem::path& folder) {
    const Checkpoint cut = outline();
    write_safetensors(folder / kNormsFile, norms_);
    return cut.overlaid({folder / kNormsFile}, {}, cut.config());
  }

  // Norms have the weights that they had.
  Checkpoint outline() {
    parts_ = all_parts(model_.checkpoint());
    for (std::int64_t block = 0; block < a_.num_hidden_layers; ++block) cut_block(block);
    cut(model_.embedding_module(), false, true);
    cut(model_.head_module(), false, true);
    if (a_.learned_positions) cut(model_.positions_module(), false, true);
    set_norm(model_.norm_module(0, NormRole::final));
    return model_.checkpoint().of_parts(parts_, config());
  }

 private:
  void cut_block(std::int64_t block) {
    parts_.erase(rotation_name(block));
    for (const LinearRole role : a_.roles(block)) {
      const Stage stage = stage_of(role);
      const bool reads = stage == Stage::attention_input || stage == Stage::mlp_input;
      const std::string module = model_.linear_module(block, role);
      a_.conv1d ? cut(module, reads, !reads) : cut(module, !reads, reads);
      if (!reads) cut_bias(module);
    }
    for (const ShortcutRole role : kShortcuts) {
      cut(model_.shortcut_module(block, role), true, true);
    }
    for (const NormRole role : {NormRole::attention, NormRole::mlp}) {
      set_norm(model_.norm_module(block, role));
    }
  }

  void cut_bias(const std::string& module) {
    const auto bias = parts_.find(module + ".bias");
    if (bias != parts_.end()) bias->second.rows = first_;
  }

  // Rows and columns as they are stored.
  void cut(const std::string& module, bool rows, bool columns) {
    TensorPart& part = parts_.at(module + ".weight");
    if (rows) part.rows = first_;
    if (columns) part.columns = first_;
  }

  void set_norm(const std::string& module) {
    const Vector ones = Vector::Ones(static_cast<std::int64_t>(first_.size()));
    parts_[module + ".weight"].rows = first_;
    parts_.erase(module + ".bias");
    norms_.push_back({module + ".weight", Tensor::from_vector(model_.dtype(), ones)});
  }

  Json config() const {
    Json config = model_.checkpoint().config();
    const Architecture narrow = with_width(a_, static_cast<std::int64_t>(first_.size()));
    write_width(config, narrow);
    write_block_shapes(config, narrow);
    return config;
  }

  const Model& model_;
  const Architecture& a_;
  std::vector<std::int64_t> first_;
  std::map<std::string, TensorPart> parts_;
  std::vector<NamedTensor> norms_;
};

}  // namespace

namespace {

// The tensor of that name becomes the shortcuts.
Checkpoint with_shortcuts(const Model& model, const Checkpoint& whole, const TensorPart& shortcut) {
  const Architecture& a = model.architecture();
  auto parts = all_parts(model.checkpoint());
  const std::string head = model.head_module() + ".weight";
  if (model.tied() && !parts.contains(head)) parts[head] = {model.tied_module() + ".weight"};
  const std::string embedding = model.embedding_module() + ".weight";
  if (!parts.contains(embedding)) parts[embedding] = {head};
  Architecture turned = a;
  turned.shortcuts = true;
  if (a.norm == NormKind::layer) {
    turned.norm = NormKind::rms;
    turned.head_bias = true;
    const std::vector<std::int64_t> zeros(static_cast<std::size_t>(a.vocab_size),
                                          TensorPart::kZeros);
    parts.try_emplace(model.head_module() + ".bias",
                      TensorPart{model.norm_module(0, NormRole::final) + ".bias", zeros});
  }
  Json config = model.checkpoint().config();
  config["tie_word_embeddings"] = false;
  write_block_shapes(config, turned);
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const ShortcutRole role : kShortcuts) {
      parts[model.shortcut_module(block, role) + ".weight"] = shortcut;
    }
  }
  return whole.of_parts(parts, config);
}

}  // namespace

Checkpoint with_shortcuts(const Model& model, const std::filesystem::path& folder) {
  const std::int64_t hidden = model.architecture().hidden_size;
  require_rotatable(model.architecture());
  write_safetensors(
      folder / kIdentityFile,
      {{kIdentity, Tensor::from_matrix(model.dtype(), Matrix::Identity(hidden, hidden))}});
  const Checkpoint& checkpoint = model.checkpoint();
  return with_shortcuts(
      model, checkpoint.overlaid({folder / kIdentityFile}, {}, checkpoint.config()), {kIdentity});
}

Checkpoint narrow_outline(const Model& model, std::int64_t width) {
  const Architecture& a = model.architecture();
  require_rotatable(a);
  const std::vector<std::int64_t> zeros(static_cast<std::size_t>(a.hidden_size),
                                        TensorPart::kZeros);
  const std::string square = model.linear_module(0, LinearRole::o_proj) + ".weight";
  const Checkpoint wide = with_shortcuts(model, model.checkpoint(), {square, zeros, zeros});
  return Narrowing(Model(std::make_shared<const Checkpoint>(wide)), width).outline();
}

void require_narrowable(const Architecture& a) {
  const bool plain = a.norm == NormKind::rms && !a.norm_after && !a.parallel_residual;
  if (plain && !a.projected_embeddings && !a.learned_positions) return;
  throw bad_usage(
      "the residual stream of a {} model cannot be narrower: that needs root-mean-square norms "
      "before attention and MLP, and no learned positions",
      a.family);
}

Architecture with_width(Architecture a, std::int64_t width) {
  const double scale = norm_scale(a, width);
  a.norm_eps *= scale * scale;
  a.hidden_size = a.embedding_size = width;
  return a;
}

void write_width(Json& config, const Architecture& narrow) {
  if (!family_subtracts_means(config)) {
    config["hidden_size"] = narrow.hidden_size;
    config["head_dim"] = narrow.head_dim;
    config["rms_norm_eps"] = narrow.norm_eps;
    return;
  }
  for (const char* key : {"hidden_size", "n_embd", "word_embed_proj_dim"}) {
    if (has_key(config, key)) config[key] = narrow.hidden_size;
  }
  if (!has_key(config, "ffn_dim")) config["n_inner"] = narrow.intermediate_size;
}

bool family_subtracts_means(const Json& config) {
  Json plain = config;
  plain.erase("terse_config");
  return parse_architecture(plain).norm == NormKind::layer;
}

Vector bias_of(const Checkpoint& checkpoint, const std::string& module) {
  const std::string name = module + ".bias";
  if (!checkpoint.contains(name)) return {};
  const std::vector<float> values = checkpoint.tensor(name).to_floats();
  return Eigen::Map<const Vector>(values.data(), static_cast<Eigen::Index>(values.size()));
}

double norm_scale(const Architecture& a, std::int64_t width) {
  return std::sqrt(static_cast<double>(a.hidden_size) / static_cast<double>(width));
}

Checkpoint narrowed(const Model& model, std::int64_t width, const std::filesystem::path& folder) {
  return Narrowing(model, width).write(folder);
}

std::string rotation_name(std::int64_t block) {
  return fmt::format("terse.rotation.{:05}", block);
}

}  // namespace terse
