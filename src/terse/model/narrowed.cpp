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

void require_rotatable(const Architecture& a) {
  require_narrowable(a);
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
    set_norm(model_.norm_module(0, NormRole::final));
    return model_.checkpoint().of_parts(parts_, config());
  }

 private:
  void cut_block(std::int64_t block) {
    parts_.erase(rotation_name(block));
    for (const LinearRole role : a_.roles(block)) {
      const Stage stage = stage_of(role);
      const bool reads = stage == Stage::attention_input || stage == Stage::mlp_input;
      cut(model_.linear_module(block, role), !reads, reads);
    }
    for (const ShortcutRole role : kShortcuts) {
      cut(model_.shortcut_module(block, role), true, true);
    }
    for (const NormRole role : {NormRole::attention, NormRole::mlp}) {
      set_norm(model_.norm_module(block, role));
    }
  }

  void cut(const std::string& module, bool rows, bool columns) {
    const auto bias = parts_.find(module + ".bias");
    if (rows && bias != parts_.end()) bias->second.rows = first_;
    TensorPart& part = parts_.at(module + ".weight");
    if (rows) part.rows = first_;
    if (columns) part.columns = first_;
  }

  void set_norm(const std::string& module) {
    const Vector ones = Vector::Ones(static_cast<std::int64_t>(first_.size()));
    parts_[module + ".weight"].rows = first_;
    norms_.push_back({module + ".weight", Tensor::from_vector(model_.dtype(), ones)});
  }

  Json config() const {
    Json config = model_.checkpoint().config();
    write_width(config, a_, static_cast<std::int64_t>(first_.size()));
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

void write_width(Json& config, const Architecture& a, std::int64_t width) {
  config["hidden_size"] = width;
  config["head_dim"] = a.head_dim;
  const double scale = norm_scale(a, width);
  config["rms_norm_eps"] = a.norm_eps * scale * scale;
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
