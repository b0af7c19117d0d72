#include "terse/model/model.h"

#include <algorithm>
#include <span>

#include "terse/core/error.h"
#include "terse/core/text.h"

namespace terse {
namespace {

template <class Values>
void require_finite(const Values& values, std::string_view name) {
  if (!all_finite(values))
    throw bad_input("{}: holds NaN or infinity; the checkpoint is damaged", name);
}

// Whether the checkpoint stores a weight of the module, of whatever kind.
bool has_weight(const Checkpoint& checkpoint, const std::string& module) {
  const std::vector<std::string> names = checkpoint.names_of(module);
  return std::ranges::any_of(names, [&](const std::string& name) {
    return name.compare(module.size(), 7, ".weight") == 0 || name == module + ".bitmask";
  });
}

std::string block_name(const std::string& pattern, std::int64_t block) {
  return replace_all(pattern, "{}", std::to_string(block));
}

// Files of bare models (without a language-model head) leave the prefix out, or the first part of
// it. A linear tells: of tied embeddings the one with the prefix may not be stored.
std::string find_prefix(const Checkpoint& checkpoint, const Architecture& a) {
  const std::vector<LinearKey> first = a.block_linears(0);
  const std::string probe = first.empty() ? a.embedding : a.linear_name(0, first.front());
  const std::string shorter = a.prefix.substr(a.prefix.find('.') + 1);
  for (const std::string& prefix : {a.prefix, shorter, std::string()}) {
    if (has_weight(checkpoint, prefix + probe)) return prefix;
  }
  return a.prefix;
}

BlockShape& own_shape(Architecture& a, std::int64_t block) {
  if (a.block_shapes.empty()) {
    a.block_shapes.assign(static_cast<std::size_t>(a.num_hidden_layers), a.shape(0));
  }
  return a.block_shapes[static_cast<std::size_t>(block)];
}

template <class Key, class Value>
void drop_others(std::map<Key, Value>& parts, const std::vector<Key>& left) {
  std::erase_if(
      parts, [&](const auto& item) { return std::ranges::find(left, item.first) == left.end(); });
}

void drop_absent(const Architecture& a, std::int64_t index, Block& block) {
  drop_others(block.linears, a.block_linears(index));
  drop_others(block.norms, a.norm_roles(index));
  if (!a.has_experts(index)) block.router = {};
}

}  // namespace

Model::Model(std::shared_ptr<const Checkpoint> checkpoint, ActivationType activations)
    : checkpoint_(std::move(checkpoint)),
      architecture_(with_context((checkpoint_->dir() / "config.json").string(),
                                 [&] { return parse_architecture(checkpoint_->config()); })),
      prefix_(find_prefix(*checkpoint_, architecture_)),
      loader_(*checkpoint_, activations),
      blocks_(static_cast<std::size_t>(architecture_.num_hidden_layers)) {
  open_embeddings();
  if (architecture_.final_norm) {
    final_norm_ = read_norm(norm_module(0, NormRole::final), architecture_.hidden_size);
  }
}

Model Model::open(const std::filesystem::path& directory, ActivationType activations) {
  return Model(std::make_shared<const Checkpoint>(Checkpoint::open(directory)), activations);
}

Model Model::load(const std::filesystem::path& directory, ActivationType activations) {
  Model model = open(directory, activations);
  model.load_all();
  return model;
}

std::string Model::with_prefix(const std::string& name) const {
  return prefix_ + name;
}

bool Model::stored(const std::string& module) const {
  return has_weight(*checkpoint_, module);
}

std::string Model::linear_module(std::int64_t block, const LinearKey& key) const {
  return with_prefix(architecture_.linear_name(block, key));
}

std::string Model::router_module(std::int64_t block) const {
  return with_prefix(architecture_.router_name(block));
}

std::string Model::norm_module(std::int64_t block, NormRole role) const {
  return with_prefix(block_name(architecture_.norms.at(role), block));
}

std::string Model::shortcut_module(std::int64_t block, ShortcutRole role) const {
  const std::string& pattern = architecture_.linears.begin()->second;
  const std::string name = block_name(pattern.substr(0, pattern.find("{}") + 2), block);
  return with_prefix(name +
                     (role == ShortcutRole::attention ? ".attention_shortcut" : ".mlp_shortcut"));
}

void Model::open_embeddings() {
  const Architecture& a = architecture_;
  embedding_module_ = with_prefix(a.embedding);
  // Of two tied tensors a file may hold either; whichever it is stands for both.
  tied_module_ = a.tie_word_embeddings && !stored(embedding_module_) && stored(a.head)
                     ? a.head
                     : embedding_module_;
  const auto load = [&](const std::string& module, const char* class_name, Shape shape) {
    return std::shared_ptr<Weight>(
        loader_.load({*checkpoint_, module, class_name, std::move(shape), false}));
  };
  embedding_ = load(tied_module_, "Embedding", {a.vocab_size, a.embedding_size});
  head_.module = a.tie_word_embeddings ? tied_module_ : a.head;
  head_.weight =
      a.tie_word_embeddings ? embedding_ : load(a.head, "Linear", {a.vocab_size, a.embedding_size});
  if (a.head_bias) head_.bias = read_vector(a.head + ".bias", a.vocab_size);
  if (a.learned_positions) {
    const Tensor stored_positions = checkpoint_->tensor(positions_module() + ".weight");
    if (!is_floating(stored_positions.dtype())) {
      throw bad_input("{}.weight is {}; expected real numbers", positions_module(),
                      dtype_name(stored_positions.dtype()));
    }
    positions_ = stored_positions.to_matrix();
    if (positions_.rows() < a.max_position_embeddings + a.position_offset ||
        positions_.cols() != a.hidden_size) {
      throw bad_input("{}.weight is [{}, {}]; expected [{}, {}]", positions_module(),
                      positions_.rows(), positions_.cols(),
                      a.max_position_embeddings + a.position_offset, a.hidden_size);
    }
    require_finite(std::span(positions_.data(), static_cast<std::size_t>(positions_.size())),
                   positions_module());
  }
  if (a.projected_embeddings) {
    project_in_ = load(project_in_module(), "Linear", {a.hidden_size, a.embedding_size});
    project_out_ = load(project_out_module(), "Linear", {a.embedding_size, a.hidden_size});
    with_context(project_in_module(), [&] { project_in_->prepare(); });
    with_context(project_out_module(), [&] { project_out_->prepare(); });
  }
  dtype_ = read_dtype();
}

DType Model::read_dtype() const {
  const std::string declared = get_string(checkpoint_->config(), "torch_dtype", "float32");
  return stored_as(tied_module_ + ".weight").value_or(parse_dtype(declared).value_or(DType::f32));
}

std::optional<DType> Model::stored_as(const std::string& tensor) const {
  if (!checkpoint_->contains(tensor)) return std::nullopt;
  const DType dtype = checkpoint_->dtype(tensor);
  return is_floating(dtype) ? std::optional(dtype) : std::nullopt;
}

DType Model::stored_dtype(const std::string& tensor) const {
  return stored_as(tensor).value_or(dtype_);
}

Vector Model::read_vector(const std::string& name, std::int64_t size) const {
  const Tensor tensor = checkpoint_->tensor(name);
  if (!is_floating(tensor.dtype())) {
    throw bad_input("{} is {}; expected real numbers", name, dtype_name(tensor.dtype()));
  }
  if (tensor.shape() != Shape{size}) {
    throw bad_input("{} is {}; config.json makes it [{}]", name, shape_text(tensor.shape()), size);
  }
  Vector values(size);
  convert_to_float(tensor.dtype(), tensor.bytes(), {values.data(), static_cast<std::size_t>(size)});
  require_finite(std::span<const float>(values.data(), static_cast<std::size_t>(size)), name);
  return values;
}

Norm Model::read_norm(const std::string& module, std::int64_t size) const {
  if (!architecture_.norm_affine) return {Vector::Ones(size), Vector::Zero(size)};
  Norm norm;
  norm.weight = read_vector(module + ".weight", size);
  if (architecture_.norm == NormKind::layer) norm.bias = read_vector(module + ".bias", size);
  return norm;
}

Linear Model::read_linear(std::int64_t block, const LinearKey& key) const {
  const Architecture& a = architecture_;
  const std::string module = linear_module(block, key);
  const Shape shape{a.out_features(block, key.role), a.in_features(block, key.role)};
  const WeightSource source{*checkpoint_, module, "Linear", shape, a.conv1d};
  Linear linear{module, {}, {}};
  linear.weight = loader_.shared_by_others(module) ? loader_.load_once(source)
                                                   : std::shared_ptr<Weight>(loader_.load(source));
  if (a.biases.contains(key.role)) linear.bias = read_vector(module + ".bias", shape[0]);
  return linear;
}

bool Model::shares_any() const {
  for (std::int64_t block = 0; block < architecture_.num_hidden_layers; ++block) {
    for (const LinearKey& key : architecture_.block_linears(block)) {
      if (shares(block, key)) return true;
    }
  }
  return false;
}

Linear Model::read_router(std::int64_t block) const {
  const std::string module = router_module(block);
  const Shape shape{architecture_.shape(block).num_experts, architecture_.hidden_size};
  return {module, loader_.load({*checkpoint_, module, "Linear", shape, false}), {}};
}

void Model::make_ready(const Linear& linear, bool prepare) const {
  if (prepare) with_context(linear.module, [&] { linear.weight->prepare(); });
  drop_pages(linear.module);
}

// What was packed is not read again soon.
void Model::drop_pages(const std::string& module) const {
  for (const std::string& name : checkpoint_->names_of(module)) checkpoint_->drop_pages(name);
}

void Model::load_block(std::int64_t index, bool prepare) {
  Block loaded;
  for (const LinearKey& key : architecture_.block_linears(index)) {
    Linear linear = read_linear(index, key);
    make_ready(linear, prepare);
    loaded.linears.emplace(key, std::move(linear));
  }
  if (architecture_.has_experts(index)) {
    loaded.router = read_router(index);
    make_ready(loaded.router, prepare);
  }
  for (const NormRole role : architecture_.norm_roles(index)) {
    loaded.norms[role] = read_norm(norm_module(index, role), architecture_.norm_size(role));
  }
  if (architecture_.shortcuts) {
    const Shape square{architecture_.hidden_size, architecture_.hidden_size};
    for (const ShortcutRole role : {ShortcutRole::attention, ShortcutRole::mlp}) {
      const std::string module = shortcut_module(index, role);
      std::shared_ptr<Weight> weight =
          loader_.load({*checkpoint_, module, "Linear", square, false});
      if (prepare) with_context(module, [&] { weight->prepare(); });
      loaded.shortcuts[role] = std::move(weight);
    }
  }
  block(index) = std::move(loaded);
}

void Model::unload_block(std::int64_t index) {
  for (const auto& entry : block(index).linears) drop_pages(entry.second.module);
  block(index) = Block();
}

void Model::remove_attention(std::int64_t index) {
  BlockShape& shape = own_shape(architecture_, index);
  shape.num_attention_heads = shape.num_key_value_heads = 0;
  drop_absent(architecture_, index, block(index));
}

void Model::remove_mlp(std::int64_t index) {
  BlockShape& shape = own_shape(architecture_, index);
  shape.intermediate_size = shape.num_experts = 0;
  drop_absent(architecture_, index, block(index));
}

void Model::read_ahead(std::int64_t index) const {
  for (const LinearKey& key : architecture_.block_linears(index)) {
    for (const std::string& name : checkpoint_->names_of(linear_module(index, key))) {
      checkpoint_->read_ahead(name);
    }
  }
}

void Model::load_unprepared() {
  for (std::int64_t i = 0; i < architecture_.num_hidden_layers; ++i) load_block(i, false);
}

void Model::load_head() {
  with_context(head_.module, [&] { head_.weight->prepare(); });
  // Rows of an embedding of its own are read where they lie, and nothing else checks them; where it
  // is not stored as numbers, it is packed, as a byte for every code would be more.
  const std::string name = embedding_module_ + ".weight";
  if (!tied() && stored_as(name)) {
    require_finite(checkpoint_->tensor(name), name);
  } else {
    with_context(embedding_module_, [&] { embedding_->prepare(); });
  }
  drop_pages(embedding_module_);
  drop_pages(head_.module);
}

void Model::load_all() {
  for (std::int64_t i = 0; i < architecture_.num_hidden_layers; ++i) load_block(i);
  load_head();
}

}  // namespace terse
