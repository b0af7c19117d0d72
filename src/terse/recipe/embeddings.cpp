#include "terse/recipe/embeddings.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/threads.h"
#include "terse/model/weights/storage.h"

namespace terse {
namespace {

std::map<std::string, std::string> rounding_options(const Recipe& recipe, const Architecture& a) {
  std::map<std::string, std::string> options{
      {"bits", std::to_string(recipe.output.embeddings_bits)},
      {"group_size", std::to_string(embedding_group_size(a))}};
  for (const RecipeStep& step : recipe.steps) {
    for (const char* shared : {"scale_dtype", "clip"}) {
      const auto found = step.options.find(shared);
      if (found != step.options.end() && !found->second.value.empty()) {
        options[shared] = found->second.value;
      }
    }
  }
  return options;
}

// A matrix that is rounded some rows at a time: whole in float32 it may be the largest of the
// model.
class RoundedTable {
 public:
  RoundedTable(std::string module, const Weight& weight, DType dtype, bool dequantize)
      : module_(std::move(module)), weight_(weight), dtype_(dtype), dequantize_(dequantize) {}

  void round(const LinearMethod& method) {
    for (std::int64_t first = 0; first < weight_.rows(); first += kEmbeddingRows) {
      const Matrix before = rows(first, std::min(kEmbeddingRows, weight_.rows() - first));
      const auto part = std::get<QuantizedMatrix>(method.compress({module_, before}));
      const Matrix after = part.dense();
      norm_ += before.cast<double>().squaredNorm();
      error_ += (before - after).cast<double>().squaredNorm();
      append(part);
      if (dequantize_) append_dense(after);
    }
  }

  void store(BlockResult& result) {
    const auto codes = plain_weight(std::move(codes_));
    LinearReport report{module_, codes->kind(), norm_ > 0 ? error_ / norm_ : 0.0};
    std::vector<NamedTensor> tensors = codes->tensors(module_);
    if (dequantize_) {
      report.kind = dtype_torch_name(dtype_);
      tensors = {
          {module_ + ".weight",
           Tensor::from_bytes(dtype_, {weight_.rows(), weight_.columns()}, std::move(dense_))}};
    } else {
      report.storage = codes->config();
    }
    std::move(tensors.begin(), tensors.end(), std::back_inserter(result.tensors));
    result.linears.push_back(std::move(report));
  }

 private:
  Matrix rows(std::int64_t first, std::int64_t count) const {
    Matrix values(count, weight_.columns());
    parallel_for(count, [&](std::int64_t r) { weight_.row(first + r, values.row(r).data()); });
    return values;
  }

  void append(const QuantizedMatrix& part) {
    if (codes_.rows == 0) {
      codes_.scheme = part.scheme;
      codes_.columns = part.columns;
      codes_.scales.resize(weight_.rows(), part.scales.cols());
      codes_.codes.reserve(static_cast<std::size_t>(weight_.rows() * part.columns));
    }
    codes_.scales.middleRows(codes_.rows, part.rows) = part.scales;
    codes_.codes.insert(codes_.codes.end(), part.codes.begin(), part.codes.end());
    codes_.zeros.insert(codes_.zeros.end(), part.zeros.begin(), part.zeros.end());
    codes_.rows += part.rows;
  }

  void append_dense(const Matrix& values) {
    const Tensor stored = Tensor::from_matrix(dtype_, values);
    dense_.insert(dense_.end(), stored.bytes().begin(), stored.bytes().end());
  }

  std::string module_;
  const Weight& weight_;
  DType dtype_;
  bool dequantize_;
  QuantizedMatrix codes_;
  std::vector<std::byte> dense_;
  double norm_ = 0;
  double error_ = 0;
};

}  // namespace

std::int64_t embedding_group_size(const Architecture& architecture) {
  const std::int64_t width = architecture.embedding_size;
  std::int64_t group = std::min<std::int64_t>(width, 128);
  while (width % group != 0) --group;
  return group;
}

BlockResult compress_embeddings(const Model& model, const Recipe& recipe) {
  const auto given = rounding_options(recipe, model.architecture());
  const MethodOptions options(MethodRegistry::instance().find("rtn"), given);
  const auto method = make_linear_method("rtn", options, {model.dtype()});
  BlockResult result;
  const auto compress_one = [&](const std::string& module, const Weight& weight) {
    RoundedTable table(module, weight, model.checkpoint().dtype(module + ".weight"),
                       recipe.output.dequantize);
    table.round(*method);
    table.store(result);
  };
  compress_one(model.tied_module(), model.embedding());
  if (!model.tied()) compress_one(model.head_module(), *model.head().weight);
  return result;
}

}  // namespace terse
