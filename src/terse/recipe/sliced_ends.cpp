#include "terse/recipe/sliced_ends.h"

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/matrix_product.h"
#include "terse/model/narrowed.h"

namespace terse {
namespace {

constexpr std::int64_t kRows = 4096;  // that are float32 at a time

using TileWork = std::function<void(std::int64_t first, const Matrix& tile)>;

// Some rows after others, in float32.
void for_each_tile(const Tensor& rows, const TileWork& work) {
  const std::int64_t count = rows.shape()[0];
  const std::size_t row_bytes = rows.bytes().size() / static_cast<std::size_t>(count);
  for (std::int64_t first = 0; first < count; first += kRows) {
    Matrix tile(std::min(kRows, count - first), rows.shape()[1]);
    convert_to_float(rows.dtype(),
                     rows.bytes().subspan(static_cast<std::size_t>(first) * row_bytes,
                                          static_cast<std::size_t>(tile.rows()) * row_bytes),
                     {tile.data(), static_cast<std::size_t>(tile.size())});
    work(first, tile);
  }
}

// Rows times diag(scales) times the rotation, in the type that they have.
Tensor turned(const Tensor& rows, const Vector& scales, const Matrix& rotation) {
  std::vector<std::byte> bytes;
  bytes.reserve(rows.bytes().size());
  for_each_tile(rows, [&](std::int64_t, const Matrix& tile) {
    const Tensor out =
        Tensor::from_matrix(rows.dtype(), product(tile * scales.asDiagonal(), rotation));
    bytes.insert(bytes.end(), out.bytes().begin(), out.bytes().end());
  });
  return Tensor::from_bytes(rows.dtype(), rows.shape(), std::move(bytes));
}

NamedTensor turned(const Checkpoint& checkpoint, const std::string& module, const Vector& scales,
                   const Matrix& rotation) {
  const std::string name = module + ".weight";
  NamedTensor result{name, turned(checkpoint.tensor(name), scales, rotation)};
  checkpoint.drop_pages(name);
  return result;
}

Checkpoint with_tensors(const Checkpoint& checkpoint, const std::vector<NamedTensor>& tensors,
                        const std::filesystem::path& path) {
  write_safetensors(path, tensors);
  return checkpoint.overlaid({path}, {}, checkpoint.config());
}

// What the head makes of the bias of the last norm, besides its own bias.
NamedTensor head_bias(const Model& model, const Vector& bias) {
  const Checkpoint& checkpoint = model.checkpoint();
  Vector sum = bias_of(checkpoint, model.head_module());
  for_each_tile(checkpoint.tensor(model.head_module() + ".weight"),
                [&](std::int64_t first, const Matrix& tile) {
                  sum.segment(first, tile.rows()) += tile * bias;
                });
  const std::string name = model.head_module() + ".bias";
  return {name, Tensor::from_vector(checkpoint.dtype(name), sum)};
}

}  // namespace

Checkpoint with_turned_embedding(const Model& model, const Matrix& rotation,
                                 const std::filesystem::path& path) {
  const Checkpoint& checkpoint = model.checkpoint();
  const Matrix turning = family_subtracts_means(checkpoint.config())
                             ? Matrix(rotation.rowwise() - rotation.colwise().mean())
                             : rotation;
  const Vector ones = Vector::Ones(model.architecture().hidden_size);
  const std::string& module = model.tied() ? model.tied_module() : model.embedding_module();
  std::vector<NamedTensor> tensors{turned(checkpoint, module, ones, turning)};
  if (model.architecture().learned_positions) {
    tensors.push_back(turned(checkpoint, model.positions_module(), ones, turning));
  }
  return with_tensors(checkpoint, tensors, path);
}

Checkpoint with_turned_head(const Model& model, const Matrix& rotation, double scale,
                            const std::filesystem::path& path) {
  const Checkpoint& checkpoint = model.checkpoint();
  std::vector<NamedTensor> tensors{turned(checkpoint, model.head_module(),
                                          static_cast<float>(scale) * model.final_norm().weight,
                                          rotation)};
  const Vector bias = bias_of(checkpoint, model.norm_module(0, NormRole::final));
  if (bias.size() > 0) tensors.push_back(head_bias(model, bias));
  return with_tensors(checkpoint, tensors, path);
}

}  // namespace terse
