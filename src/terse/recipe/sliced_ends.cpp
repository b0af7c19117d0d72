#include "terse/recipe/sliced_ends.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/matrix_product.h"

namespace terse {
namespace {

constexpr std::int64_t kRows = 4096;  // that are float32 at a time

// Rows times diag(scales) times the rotation, in the type that they have.
Tensor turned(const Tensor& rows, const Vector& scales, const Matrix& rotation) {
  const std::int64_t count = rows.shape()[0];
  const std::int64_t width = rows.shape()[1];
  const std::size_t row_bytes = rows.bytes().size() / static_cast<std::size_t>(count);
  std::vector<std::byte> bytes;
  bytes.reserve(rows.bytes().size());
  for (std::int64_t first = 0; first < count; first += kRows) {
    Matrix tile(std::min(kRows, count - first), width);
    convert_to_float(rows.dtype(),
                     rows.bytes().subspan(static_cast<std::size_t>(first) * row_bytes,
                                          static_cast<std::size_t>(tile.rows()) * row_bytes),
                     {tile.data(), static_cast<std::size_t>(tile.size())});
    tile = product(tile * scales.asDiagonal(), rotation);
    const Tensor out = Tensor::from_matrix(rows.dtype(), tile);
    bytes.insert(bytes.end(), out.bytes().begin(), out.bytes().end());
  }
  return Tensor::from_bytes(rows.dtype(), rows.shape(), std::move(bytes));
}

Checkpoint with_turned(const Model& model, const std::string& module, const Vector& scales,
                       const Matrix& rotation, const std::filesystem::path& path) {
  const Checkpoint& checkpoint = model.checkpoint();
  const std::string name = module + ".weight";
  write_safetensors(path, {{name, turned(checkpoint.tensor(name), scales, rotation)}});
  checkpoint.drop_pages(name);
  return checkpoint.overlaid({path}, {}, checkpoint.config());
}

}  // namespace

Checkpoint with_turned_embedding(const Model& model, const Matrix& rotation,
                                 const std::filesystem::path& path) {
  return with_turned(model, model.embedding_module(),
                     Vector::Ones(model.architecture().hidden_size), rotation, path);
}

Checkpoint with_turned_head(const Model& model, const Matrix& rotation, double scale,
                            const std::filesystem::path& path) {
  return with_turned(model, model.head_module(),
                     static_cast<float>(scale) * model.final_norm().weight, rotation, path);
}

}  // namespace terse
