#include "terse/methods/shape/compensation.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/upper_factor.h"

namespace terse {
namespace {

using Units = std::vector<std::int64_t>;

constexpr std::int64_t kRowTile = 64;

constexpr std::array<std::pair<std::string_view, Compensation>, 4> kNames{
    {{"none", Compensation::none},
     {"bias", Compensation::bias},
     {"least_squares", Compensation::least_squares},
     {"affine", Compensation::affine}}};

Units others(const Units& kept, std::int64_t count) {
  Units left;
  std::size_t next = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (next < kept.size() && kept[next] == i) {
      ++next;
    } else {
      left.push_back(i);
    }
  }
  return left;
}

// Second moments per token, around the means where a bias takes care of these.
class Moments {
 public:
  Moments(const InputStatistics& inputs, bool centred) : inputs_(inputs), centred_(centred) {}

  double at(std::int64_t i, std::int64_t j) const {
    const double moment = 0.5 * inputs_.moments().at(i, j);
    return centred_ ? moment - inputs_.mean(i) * inputs_.mean(j) : moment;
  }

  // Rows and columns by number; only above the diagonal where they are the same.
  Matrix part(const Units& rows, const Units& columns) const {
    Matrix part(static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(columns.size()));
    parallel_for(part.rows(), [&](std::int64_t r) {
      for (std::int64_t c = 0; c < part.cols(); ++c) {
        part(r, c) = static_cast<float>(
            at(rows[static_cast<std::size_t>(r)], columns[static_cast<std::size_t>(c)]));
      }
    });
    return part;
  }

 private:
  const InputStatistics& inputs_;
  bool centred_;
};

// R with R R^T = M + d I; d grows until there is one.
Matrix damped_root(const Matrix& moments, double percdamp) {
  const double mean = moments.diagonal().cast<double>().mean();
  for (double damping = percdamp; damping < 1e3; damping = std::max(damping * 10, 1e-6)) {
    Matrix root = moments;
    root.diagonal().array() += static_cast<float>(mean > 0 ? damping * mean : 1.0);
    if (factor_upper(root)) return root;
  }
  throw failure("the second moments of the inputs cannot be factored");
}

// Some rows times (R R^T)^-1.
void solve_rows(const Matrix& root, Matrix& rows) {
  const auto upper = root.triangularView<Eigen::Upper>();
  upper.transpose().solveInPlace<Eigen::OnTheRight>(rows);
  upper.solveInPlace<Eigen::OnTheRight>(rows);
}

// W_K + W_R M_RK (M_KK + d I)^-1, in tiles of rows.
void add_least_squares(const Matrix& weight, const Units& kept, const Units& gone,
                       const Moments& moments, double percdamp, Matrix& result) {
  const Matrix root = damped_root(moments.part(kept, kept), percdamp);
  const Matrix cross = moments.part(gone, kept);
  parallel_tiles(weight.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
    Matrix change = weight(Eigen::seqN(first, count), gone) * cross;
    solve_rows(root, change);
    result(Eigen::seqN(first, count), kept) += change;
  });
}

// What the columns of W that changed put out on average.
Vector mean_change(const Matrix& before, const Matrix& after, const InputStatistics& inputs) {
  Eigen::VectorXd means(before.cols());
  for (std::int64_t i = 0; i < means.size(); ++i) means[i] = inputs.mean(i);
  Vector change(before.rows());
  for (std::int64_t r = 0; r < change.size(); ++r) {
    change[r] = static_cast<float>((before.row(r) - after.row(r)).cast<double>().dot(means));
  }
  return change;
}

}  // namespace

MethodOption compensation_option(std::string_view absent) {
  MethodOption option{
      "compensation", std::string(absent),
      "What makes up for the units that go, in the linears that read them: nothing, "
      "a bias, the least squares of the weights that stay, or both"};
  for (const auto& entry : kNames) option.choices.emplace_back(entry.first);
  option.whole_step = true;
  return option;
}

Compensation read_compensation(const MethodOptions& options) {
  const std::string& name = options.text("compensation");
  for (const auto& [known, compensation] : kNames) {
    if (known == name) return compensation;
  }
  throw bad_usage("compensation '{}' is not known", name);
}

bool adds_bias(Compensation compensation) {
  return compensation == Compensation::bias || compensation == Compensation::affine;
}

StatisticsNeeds statistics_of(Compensation compensation) {
  StatisticsNeeds needs;
  needs.means = adds_bias(compensation);
  needs.second_moments =
      compensation == Compensation::least_squares || compensation == Compensation::affine;
  return needs;
}

Compensated compensate(const Matrix& weight, const Units& kept, const InputStatistics* inputs,
                       Compensation compensation, double percdamp) {
  Compensated result{Matrix::Zero(weight.rows(), weight.cols()), {}};
  result.weight(Eigen::all, kept) = weight(Eigen::all, kept);
  if (compensation == Compensation::none) return result;
  if (inputs == nullptr) throw failure("statistics of the inputs are needed and are absent");
  const Units gone = others(kept, weight.cols());
  const bool solves = statistics_of(compensation).second_moments;
  if (solves && !kept.empty() && !gone.empty()) {
    const Moments moments(*inputs, adds_bias(compensation));
    add_least_squares(weight, kept, gone, moments, percdamp, result.weight);
  }
  if (adds_bias(compensation)) result.bias = mean_change(weight, result.weight, *inputs);
  return result;
}

MethodOption resolving_option(std::string_view what) {
  MethodOption option{"compensation",
                      std::string("least_squares"),
                      "What makes up for " + std::string(what) +
                          ": its least squares on calibration text, or nothing",
                      {"least_squares", "none"}};
  option.whole_step = true;
  return option;
}

bool read_resolving(const MethodOptions& options) {
  return options.text("compensation") == "least_squares";
}

// now + (before (M + D) - now M) (M + d I)^-1, where D is the shift: M + D = Y X^T.
Matrix resolved(const Matrix& before, const Matrix& now, const InputStatistics& inputs,
                double percdamp) {
  Units all(static_cast<std::size_t>(now.cols()));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  const Matrix moments = Moments(inputs, false).part(all, all);
  const Matrix cross = moments + inputs.shift().sums() / static_cast<float>(inputs.tokens());
  const Matrix root = damped_root(moments, percdamp);
  Matrix result = now;
  parallel_tiles(now.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
    Matrix change =
        before.middleRows(first, count) * cross - now.middleRows(first, count) * moments;
    solve_rows(root, change);
    result.middleRows(first, count) += change;
  });
  return result;
}

}  // namespace terse
