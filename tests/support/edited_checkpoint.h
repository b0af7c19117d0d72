// A checkpoint with the weights of its blocks changed by a test.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "terse/formats/checkpoint_writer.h"
#include "terse/model/model.h"
#include "terse/model/weights/dense.h"

namespace terse::test {

inline void replace_weight(Linear& linear, const Matrix& weight, bool transposed) {
  const Matrix stored = transposed ? Matrix(weight.transpose()) : weight;
  linear.weight =
      std::make_shared<DenseWeight>(Tensor::from_matrix(DType::f32, stored), transposed);
}

/// Writes the float32 checkpoint `from` to `to`, its blocks as `edit` leaves them.
inline void edit_checkpoint(const std::filesystem::path& from, const std::filesystem::path& to,
                            const std::function<void(const Architecture&, Block&)>& edit) {
  Model model = Model::open(from);
  model.load_unprepared();
  std::map<std::string, Tensor> changed;
  for (std::int64_t b = 0; b < model.architecture().num_hidden_layers; ++b) {
    edit(model.architecture(), model.block(b));
    for (const auto& [role, linear] : model.block(b).linears) {
      for (const NamedTensor& tensor : linear.weight->tensors(linear.module)) {
        changed.insert_or_assign(tensor.name, tensor.tensor);
      }
      if (linear.bias.size() == 0) continue;
      changed.insert_or_assign(linear.module + ".bias",
                               Tensor::from_vector(DType::f32, linear.bias));
    }
  }
  CheckpointWriter writer(to, {.force = true});
  for (const std::string& name : model.checkpoint().names()) {
    const auto found = changed.find(name);
    writer.add(name, found != changed.end() ? found->second : model.checkpoint().tensor(name));
  }
  writer.finish(model.checkpoint().config());
}

/// Rows or columns of a linear's weight, and its bias, set anew by a function of the dense weight.
inline void edit_weight(const Architecture& a, Linear& linear,
                        const std::function<void(Matrix& weight)>& edit) {
  Matrix weight = linear.weight->dense();
  edit(weight);
  replace_weight(linear, weight, a.conv1d);
}

}  // namespace terse::test
