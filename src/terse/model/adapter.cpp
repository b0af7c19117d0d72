#include "terse/model/adapter.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/text.h"
#include "terse/core/threads.h"
#include "terse/model/weights/low_rank_sum.h"
#include "terse/model/weights/storage.h"

namespace terse {
namespace {

constexpr std::int64_t kRows = 64;

struct Place {
  std::string module;  // in the checkpoint
  std::int64_t rows;
  std::int64_t columns;
};

// Linears by every name that an adapter may have for them: adapters of bare models (without a
// language-model head) leave the prefix out, or the first part of it.
class Places {
 public:
  explicit Places(const Model& model) {
    const Architecture& a = model.architecture();
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      for (const LinearKey& key : a.block_linears(block)) {
        const std::string full = transformers_module(a, block, key);
        const std::string bare = full.substr(a.prefix.size());
        const std::string shorter = a.prefix.substr(a.prefix.find('.') + 1) + bare;
        const Place place{model.linear_module(block, key), a.out_features(block, key.role),
                          a.in_features(block, key.role)};
        for (const std::string& name : {full, shorter, bare}) places_.emplace(name, place);
        names_.push_back(full);
      }
    }
    if (model.tied()) return;
    places_.emplace(a.head, Place{a.head, a.vocab_size, a.embedding_size});
    names_.push_back(a.head);
  }

  const Place* find(const std::string& name) const {
    const auto found = places_.find(name);
    return found == places_.end() ? nullptr : &found->second;
  }

  std::string nearest(const std::string& name) const { return nearest_word(name, names_); }

 private:
  std::map<std::string, Place> places_;
  std::vector<std::string> names_;
};

std::string what_to_do(const PeftConfig& config) {
  if (config.base_model_name_or_path.empty()) return "use the model that it was trained on";
  return fmt::format("use the model that it was trained on, '{}'", config.base_model_name_or_path);
}

[[noreturn]] void refuse_unknown(const Model& model, const PeftAdapter& adapter,
                                 const Places& places, const PeftModule& module) {
  if (model.tied() && module.name == model.head_module()) {
    throw bad_input(
        "{}: shares its weight with the embedding in this model, so that no adapter can change it "
        "alone",
        module.name);
  }
  throw bad_input(
      "the adapter is for another base: it has {}, and the model no such linear (the nearest is "
      "{}); {}",
      module.name, places.nearest(module.name), what_to_do(adapter.config));
}

void require_fit(const Place& place, const PeftModule& module, const PeftConfig& config) {
  const std::int64_t r = module.r();
  const Shape a{r, place.columns};
  const Shape b{place.rows, r};
  if (module.a.shape() == a && module.b.shape() == b) return;
  throw bad_input(
      "the adapter is for another base: {} has lora_A {} and lora_B {}; the model's weight {} "
      "needs "
      "{} and {}; {}",
      module.name, shape_text(module.a.shape()), shape_text(module.b.shape()),
      shape_text({place.rows, place.columns}), shape_text(a), shape_text(b), what_to_do(config));
}

}  // namespace

std::string transformers_module(const Architecture& architecture, std::int64_t block,
                                const LinearKey& key) {
  return architecture.prefix + architecture.linear_name(block, key);
}

std::vector<std::string> target_modules(const Architecture& architecture,
                                        const std::set<std::string>& adapted) {
  const auto last_part = [](const std::string& name) { return name.substr(name.rfind('.') + 1); };
  std::set<std::string> partly;  // last parts of linears without an adapter
  for (std::int64_t block = 0; block < architecture.num_hidden_layers; ++block) {
    for (const LinearKey& key : architecture.block_linears(block)) {
      const std::string name = transformers_module(architecture, block, key);
      if (!adapted.contains(name)) partly.insert(last_part(name));
    }
  }
  std::set<std::string> targets;
  for (const std::string& name : adapted) {
    targets.insert(partly.contains(last_part(name)) ? name : last_part(name));
  }
  return {targets.begin(), targets.end()};
}

std::map<std::string, PeftModule> fit_adapter(const Model& model, const PeftAdapter& adapter) {
  const Places places(model);
  std::map<std::string, PeftModule> fitted;
  for (const PeftModule& module : adapter.modules) {
    const Place* place = places.find(module.name);
    if (place == nullptr) refuse_unknown(model, adapter, places, module);
    require_fit(*place, module, adapter.config);
    if (!fitted.emplace(place->module, module).second) {
      throw bad_input("the adapter has {} twice, by two of its names", module.name);
    }
  }
  return fitted;
}

Matrix with_adapter(Matrix weight, const PeftModule& adapter) {
  const Matrix a = adapter.a.to_matrix();
  const Matrix b = static_cast<float>(adapter.scale) * adapter.b.to_matrix();
  const std::vector<float> lengths =
      adapter.magnitude ? adapter.magnitude->to_floats() : std::vector<float>();
  parallel_tiles(weight.rows(), kRows, [&](std::int64_t first, std::int64_t count) {
    weight.middleRows(first, count) += b.middleRows(first, count) * a;
    if (lengths.empty()) return;
    for (std::int64_t row = first; row < first + count; ++row) {
      const double length = std::sqrt(weight.row(row).cast<double>().squaredNorm());
      if (length == 0) continue;
      weight.row(row) *= static_cast<float>(lengths[static_cast<std::size_t>(row)] / length);
    }
  });
  return weight;
}

std::shared_ptr<Weight> merge_adapter(const std::shared_ptr<Weight>& base,
                                      const PeftModule& adapter, DType dtype, bool transposed,
                                      bool dequantize) {
  if (!base->config().is_null() && !dequantize) {
    if (!LowRankSum::can_hold(*base)) {
      throw bad_input(
          "is stored as {}, which an adapter cannot be merged into as it is; use --dequantize to "
          "write real numbers",
          base->kind());
    }
    if (!adapter.magnitude) {
      const Matrix b = static_cast<float>(adapter.scale) * adapter.b.to_matrix();
      return std::make_shared<LowRankSum>(base, adapter.a.to_matrix(), b, dtype);
    }
  }
  return plain_weight(with_adapter(base->dense(), adapter), dtype, transposed);
}

}  // namespace terse
