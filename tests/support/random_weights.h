// The tensors that each family's config asks for, filled at random.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "support/reference_model.h"

namespace terse::test {

// Collects tensors; each is drawn from a generator seeded by the checkpoint's and its own name, so
// that no tensor depends on the order.
class RandomWeights {
 public:
  explicit RandomWeights(std::string seed) : seed_(std::move(seed)) {}

  // name.weight [out, in] and, where `bias`, name.bias [out].
  void linear(const std::string& name, int out, int in, bool bias, double gain = 1);
  // name.weight [in, out] and name.bias [out], as transformers' Conv1D.
  void conv1d(const std::string& name, int in, int out, double gain = 1);
  // name.weight [rows, width].
  void embedding(const std::string& name, int rows, int width, double deviation);
  // name.weight [size] around 1 and, where `bias`, name.bias [size].
  void norm(const std::string& name, int size, bool bias);

  ReferenceWeights take() { return std::move(weights_); }

 private:
  void draw(const std::string& name, std::vector<std::int64_t> shape, double mean,
            double deviation);

  std::string seed_;
  ReferenceWeights weights_;
};

// The weights of any supported family.
ReferenceWeights random_weights(const std::string& seed, const nlohmann::json& config);

}  // namespace terse::test
