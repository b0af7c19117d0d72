// A weight is an interface: what a linear or an embedding needs from its matrix, however stored.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/formats/checkpoint.h"
#include "terse/formats/terse_config.h"

namespace terse {

/// How products with integer codes take their inputs where the model itself does not say.
enum class ActivationType {
  f32,   ///< As they are; codes are widened.
  int8,  ///< Rounded to 8 bits, a scale for each group of columns; integers are multiplied.
};

/// What a product with one row takes.
struct ProductCost {
  std::uint64_t bytes = 0;          ///< Read of the weight, as it is held in memory.
  std::uint64_t multiply_adds = 0;  ///< Each is two operations.

  ProductCost& operator+=(const ProductCost& other) {
    bytes += other.bytes;
    multiply_adds += other.multiply_adds;
    return *this;
  }
};

/// A matrix W [rows = out features, columns = in features] that can multiply, expand and be stored.
class Weight {
 public:
  virtual ~Weight() = default;

  virtual std::int64_t rows() const = 0;
  virtual std::int64_t columns() const = 0;

  /// Makes `multiply` and `row` ready (packs for the kernels) and lets go of the stored form where
  /// it is not needed any more. May be called again. Errors: bad_input when a value is not finite.
  virtual void prepare() = 0;

  /// y = x W^T for x [n, columns], y [n, rows]. Needs `prepare`. Batch-invariant.
  virtual void multiply(const Matrix& x, Matrix& y) const = 0;

  /// What `multiply` takes for one row of x. Needs `prepare`.
  virtual ProductCost cost() const = 0;

  /// Row `index` in float32, `columns()` values (embedding look-up).
  virtual void row(std::int64_t index, float* out) const = 0;

  /// All of it in float32.
  virtual Matrix dense() const = 0;

  /// What a checkpoint stores for a module of this name.
  virtual std::vector<NamedTensor> tensors(const std::string& module) const = 0;

  /// For people: "bfloat16", "4 bits group 128", "bfloat16 bitmap", "4 bits group 128 2:4".
  virtual std::string kind() const = 0;

  /// What config.json must say of a module of this kind, in the form that add_storage_config
  /// (storage_config.h) takes: null where the tensors say everything, as dense ones do; integers
  /// {"quantization": group_json}; sparse weights {"layout": "bitmap" or "2:4"} and, of integers,
  /// "quantization": scheme_json. A weight that is made of others, which are stored as modules of
  /// their own inside it, says of each under "parts" what this function says of it: {"parts":
  /// {"low_rank_a": ...}}.
  virtual Json config() const { return nullptr; }
};

/// Where a weight is to be found.
struct WeightSource {
  const Checkpoint& checkpoint;
  std::string module;      ///< Tensor name without ".weight".
  std::string class_name;  ///< "Linear" or "Embedding", as quantisation configs target classes.
  Shape shape;             ///< Expected [rows, columns].
  bool transposed;         ///< Stored as [columns, rows] (Conv1D) where it is dense.
};

/// Of a product with a weight as the kernels have it (panels.h, packed_integers.h).
template <class Packed>
ProductCost cost_of(const Packed& packed) {
  return {packed.bytes(), static_cast<std::uint64_t>(packed.rows() * packed.columns())};
}

class WeightLoader;

/// Reads the weights of one storage kind from a checkpoint. `loader` is for parts that are stored
/// as modules of their own.
class WeightFormat {
 public:
  virtual ~WeightFormat() = default;

  /// What Weight::kind will say, from headers alone; empty where this module is not of the kind.
  /// Errors: bad_input.
  virtual std::string kind(const WeightSource& source, const WeightLoader& loader) const = 0;

  /// The weight of a module of this kind. Errors: bad_input.
  virtual std::unique_ptr<Weight> load(const WeightSource& source,
                                       const WeightLoader& loader) const = 0;
};

/// Makes the reader of a kind for a checkpoint, or null where its config does not speak of it.
using WeightFormatFactory = std::function<std::unique_ptr<WeightFormat>(const Json& config)>;

/// Registers a storage kind when the library is loaded.
struct WeightFormatRegistration {
  explicit WeightFormatRegistration(WeightFormatFactory factory);
};

/// Reads every weight of one checkpoint, whatever its kind; dense where no other kind claims it.
class WeightLoader {
 public:
  explicit WeightLoader(const Checkpoint& checkpoint,
                        ActivationType activations = ActivationType::f32);

  ActivationType activations() const { return activations_; }

  /// Errors: bad_input naming the tensor (missing, another shape, not real numbers).
  std::unique_ptr<Weight> load(const WeightSource& source) const;

  /// The same, but a weight that is still in use elsewhere is not loaded again. On one thread.
  std::shared_ptr<Weight> load_once(const WeightSource& source) const;

  /// The module that stores the weight of this one: itself, or the one that it is shared with.
  std::string owner(const std::string& module) const;

  /// Whether other modules have their weights from this one.
  bool shared_by_others(const std::string& module) const { return lenders_.contains(module); }

  /// The kind of a weight, without loading it.
  std::string kind(const WeightSource& source) const;

  /// Whether a kind other than dense claims the module.
  bool compressed(const WeightSource& source) const { return claimant(source) != nullptr; }

 private:
  const WeightFormat* claimant(const WeightSource& source) const;

  TerseConfig ours_;
  ActivationType activations_;
  std::set<std::string> lenders_;  // modules that others have their weights from
  mutable std::map<std::string, std::weak_ptr<Weight>> in_use_;
  std::vector<std::shared_ptr<const WeightFormat>> formats_;
};

}  // namespace terse
