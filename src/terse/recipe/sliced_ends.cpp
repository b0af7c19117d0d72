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

// Rows after something was done to them, in the type that they have.
NamedTensor changed(const Checkpoint& checkpoint, const std::string& module,
                    const std::function<Matrix(const Matrix& tile)>& change) {
  const std::string name = module + ".weight";
  const Tensor rows = checkpoint.tensor(name);
  std::vector<std::byte> bytes;
  bytes.reserve(rows.bytes().size());
  for_each_tile(rows, [&](std::int64_t, const Matrix& tile) {
    const Tensor out = Tensor::from_matrix(rows.dtype(), change(tile));
    bytes.insert(bytes.end(), out.bytes().begin(), out.bytes().end());
  });
  checkpoint.drop_pages(name);
  return {name, Tensor::from_bytes(rows.dtype(), rows.shape(), std::move(bytes))};
}

// The module that the rows of tokens are stored in.
const std::string& embedding_module(const Model& model) {
  return model.tied() ? model.tied_module() : model.embedding_module();
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
  const auto turn = [&](const Matrix& tile) { return product(tile, turning); };
  std::vector<NamedTensor> tensors{changed(checkpoint, embedding_module(model), turn)};
  if (model.architecture().learned_positions) {
    tensors.push_back(changed(checkpoint, model.positions_module(), turn));
  }
  return with_tensors(checkpoint, tensors, path);
}

Checkpoint with_kept_channels(const Model& model, const std::vector<std::int64_t>& kept,
                              const std::filesystem::path& path) {
  Vector there = Vector::Zero(model.architecture().hidden_size);
  for (const std::int64_t channel : kept) there[channel] = 1;
  const auto mask = [&](const Matrix& tile) { return Matrix(tile * there.asDiagonal()); };
  return with_tensors(model.checkpoint(),
                      {changed(model.checkpoint(), embedding_module(model), mask)}, path);
}

Checkpoint with_turned_head(const Model& model, const Matrix& rotation, double scale,
                            const std::filesystem::path& path) {
  const Checkpoint& checkpoint = model.checkpoint();
  const Vector scales = static_cast<float>(scale) * model.final_norm().weight;
  std::vector<NamedTensor> tensors{
      changed(checkpoint, model.head_module(),
              [&](const Matrix& tile) { return product(tile * scales.asDiagonal(), rotation); })};
  const Vector bias = bias_of(checkpoint, model.norm_module(0, NormRole::final));
  if (bias.size() > 0) tensors.push_back(head_bias(model, bias));
  return with_tensors(checkpoint, tensors, path);
}

}  // namespace terse
