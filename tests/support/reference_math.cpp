#include "support/reference_math.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace terse::test {
namespace {

double activation(const std::string& name, double x) {
  if (name == "silu" || name == "swish") return x / (1 + std::exp(-x));
  if (name == "relu") return std::max(x, 0.0);
  if (name == "gelu") return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
  }
  throw std::runtime_error("the reference does not know the activation \"" + name + "\"");
}

std::vector<double> rms_normalised(const double* x, const std::vector<double>& weight, double eps) {
  const std::size_t size = weight.size();
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += x[i] * x[i];
  const double scale = 1 / std::sqrt(sum / static_cast<double>(size) + eps);
  std::vector<double> y(size);
  for (std::size_t i = 0; i < size; ++i) y[i] = weight[i] * (x[i] * scale);
  return y;
}

std::vector<double> softmax(std::vector<double> scores) {
  const double most = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - most);
  for (double& score : scores) score /= sum;
  return scores;
}

}  // namespace

const ReferenceTensor& tensor(const ReferenceWeights& weights, const std::string& name,
                              const std::vector<std::int64_t>& shape) {
  const auto found = weights.find(name);
  if (found == weights.end()) throw std::runtime_error("the weights have no tensor " + name);
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  if (found->second.shape != shape ||
      found->second.values.size() != static_cast<std::size_t>(count)) {
    throw std::runtime_error("the tensor " + name + " has another shape than the config says");
  }
  return found->second;
}

Rows embed(const ReferenceWeights& weights, const std::string& name, int rows, int width,
           const std::vector<int>& ids) {
  const ReferenceTensor& table = tensor(weights, name, {rows, width});
  Rows x;
  for (const int id : ids) {
    if (id < 0 || id >= rows) throw std::runtime_error("a row outside of " + name);
    const auto begin = table.values.begin() + static_cast<std::ptrdiff_t>(id) * width;
    x.emplace_back(begin, begin + width);
  }
  return x;
}

std::vector<int> positions(int count, int first) {
  std::vector<int> result;
  for (int i = 0; i < count; ++i) result.push_back(first + i);
  return result;
}

Rows project(const ReferenceWeights& weights, const std::string& name, const Rows& x, int out) {
  const auto in = static_cast<int>(x.at(0).size());
  const ReferenceTensor& matrix = tensor(weights, name, {out, in});
  Rows y(x.size(), std::vector<double>(static_cast<std::size_t>(out)));
  for (std::size_t t = 0; t < x.size(); ++t) {
    for (int o = 0; o < out; ++o) {
      const double* row = matrix.values.data() + static_cast<std::ptrdiff_t>(o) * in;
      double sum = 0;
      for (int i = 0; i < in; ++i) sum += row[i] * x[t][i];
      y[t][o] = sum;
    }
  }
  return y;
}

Rows linear(const ReferenceWeights& weights, const std::string& name, const Rows& x, int out,
            bool bias) {
  Rows y = project(weights, name + ".weight", x, out);
  if (!bias) return y;
  const ReferenceTensor& offset = tensor(weights, name + ".bias", {out});
  for (auto& row : y) {
    for (int o = 0; o < out; ++o) row[o] += offset.values[o];
  }
  return y;
}

Rows conv1d(const ReferenceWeights& weights, const std::string& name, const Rows& x, int out) {
  const auto in = static_cast<int>(x.at(0).size());
  const ReferenceTensor& matrix = tensor(weights, name + ".weight", {in, out});
  const ReferenceTensor& offset = tensor(weights, name + ".bias", {out});
  Rows y;
  for (const auto& row : x) {
    std::vector<double> sums = offset.values;
    for (int i = 0; i < in; ++i) {
      for (int o = 0; o < out; ++o) {
        sums[o] += row[i] * matrix.values[static_cast<std::size_t>(i) * out + o];
      }
    }
    y.push_back(std::move(sums));
  }
  return y;
}

Rows rms_norm(const ReferenceWeights& weights, const std::string& name, const Rows& x, double eps) {
  return rms_norm_per_head(weights, name, x, static_cast<int>(x.at(0).size()), eps);
}

Rows rms_norm_per_head(const ReferenceWeights& weights, const std::string& name, const Rows& x,
                       int head_dim, double eps) {
  const ReferenceTensor& weight = tensor(weights, name + ".weight", {head_dim});
  Rows y;
  for (const auto& row : x) {
    y.emplace_back();
    for (std::size_t start = 0; start < row.size(); start += head_dim) {
      const std::vector<double> head = rms_normalised(row.data() + start, weight.values, eps);
      y.back().insert(y.back().end(), head.begin(), head.end());
    }
  }
  return y;
}

Rows layer_norm(const ReferenceWeights& weights, const std::string& name, const Rows& x, double eps,
                bool affine) {
  Rows y = x;
  for (auto& row : y) {
    double mean = 0;
    for (const double value : row) mean += value / static_cast<double>(row.size());
    double variance = 0;
    for (const double value : row) {
      variance += (value - mean) * (value - mean) / static_cast<double>(row.size());
    }
    for (double& value : row) value = (value - mean) / std::sqrt(variance + eps);
  }
  if (!affine) return y;
  const auto size = static_cast<std::int64_t>(x.at(0).size());
  const ReferenceTensor& weight = tensor(weights, name + ".weight", {size});
  const ReferenceTensor& bias = tensor(weights, name + ".bias", {size});
  for (auto& row : y) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = row[i] * weight.values[i] + bias.values[i];
    }
  }
  return y;
}

Rows activate(const std::string& name, const Rows& x) {
  Rows y = x;
  for (auto& row : y) {
    for (double& value : row) value = activation(name, value);
  }
  return y;
}

Rows add(const Rows& a, const Rows& b) {
  Rows y = a;
  for (std::size_t t = 0; t < y.size(); ++t) {
    for (std::size_t i = 0; i < y[t].size(); ++i) y[t][i] += b.at(t).at(i);
  }
  return y;
}

Rows multiply(const Rows& a, const Rows& b) {
  Rows y = a;
  for (std::size_t t = 0; t < y.size(); ++t) {
    for (std::size_t i = 0; i < y[t].size(); ++i) y[t][i] *= b.at(t).at(i);
  }
  return y;
}

Rows columns(const Rows& x, int first, int count) {
  Rows y;
  for (const auto& row : x) y.emplace_back(row.begin() + first, row.begin() + first + count);
  return y;
}

Rows attention(const Rows& q, const Rows& k, const Rows& v, int heads, int kv_heads, double scale,
               int window) {
  const int head_dim = static_cast<int>(q.at(0).size()) / heads;
  const auto count = static_cast<int>(q.size());
  Rows y(q.size(), std::vector<double>(q.at(0).size(), 0.0));
  for (int i = 0; i < count; ++i) {
    const int first = window > 0 ? std::max(0, i - window + 1) : 0;
    for (int h = 0; h < heads; ++h) {
      const int q_start = h * head_dim;
      const int kv_start = h / (heads / kv_heads) * head_dim;
      std::vector<double> scores;
      for (int j = first; j <= i; ++j) {
        double dot = 0;
        for (int d = 0; d < head_dim; ++d) dot += q[i][q_start + d] * k[j][kv_start + d];
        scores.push_back(dot * scale);
      }
      const std::vector<double> shares = softmax(scores);
      for (int j = first; j <= i; ++j) {
        for (int d = 0; d < head_dim; ++d) {
          y[i][q_start + d] += shares[j - first] * v[j][kv_start + d];
        }
      }
    }
  }
  return y;
}

}  // namespace terse::test
