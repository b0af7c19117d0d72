#include "terse/methods/input_statistics.h"

#include <algorithm>
#include <cmath>

#include "terse/core/error.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

// Columns that one thread takes: stretches of a row that are long enough to be read ahead.
constexpr std::int64_t kStrip = 512;

}  // namespace

StatisticsNeeds& StatisticsNeeds::operator|=(const StatisticsNeeds& other) {
  norms |= other.norms;
  ranges |= other.ranges;
  second_moments |= other.second_moments;
  means |= other.means;
  shift |= other.shift;
  return *this;
}

StatisticsNeeds statistics_of(MethodNeed need) {
  StatisticsNeeds needs;
  needs.norms = need == MethodNeed::input_norms;
  needs.ranges = need == MethodNeed::input_ranges;
  needs.second_moments = need == MethodNeed::input_second_moments;
  return needs;
}

InputStatistics::InputStatistics(std::int64_t columns, const StatisticsNeeds& needs)
    : columns_(columns), needs_(needs) {
  if (needs_.second_moments) {
    moments_.emplace(columns);
  } else if (needs_.norms) {
    squared_norms_ = Eigen::VectorXd::Zero(columns);
  }
  if (needs_.shift) shift_.emplace(columns);
  if (needs_.ranges) {
    minimum_ = Vector::Zero(columns);
    maximum_ = Vector::Zero(columns);
  }
  if (needs_.means) sums_ = Eigen::VectorXd::Zero(columns);
}

void InputStatistics::add(ConstMatrixRef inputs) {
  if (shift_) throw failure("what was read in place of the inputs is needed");
  add_all(inputs);
}

void InputStatistics::add(ConstMatrixRef inputs, ConstMatrixRef before) {
  if (shift_) shift_->add(inputs, before);
  add_all(inputs);
}

void InputStatistics::add_all(const ConstMatrixRef& inputs) {
  if (inputs.cols() != columns_) {
    throw failure("inputs of {} values found where {} are expected", inputs.cols(), columns_);
  }
  if (inputs.rows() == 0) return;
  if (moments_) moments_->add(inputs);
  if (squared_norms_.size() > 0) add_norms(inputs);
  if (needs_.ranges) add_ranges(inputs);
  if (needs_.means) add_sums(inputs);
  tokens_ += inputs.rows();
}

InputStatistics InputStatistics::through(const Matrix& a) const {
  InputStatistics mapped(a.rows(), {});
  mapped.needs_.second_moments = true;
  mapped.moments_ = moments().through(a);
  mapped.tokens_ = tokens_;
  return mapped;
}

void InputStatistics::add_norms(const ConstMatrixRef& inputs) {
  parallel_tiles(columns_, kStrip, [&](std::int64_t first, std::int64_t count) {
    float sums[kStrip] = {};
    for (std::int64_t t = 0; t < inputs.rows(); ++t) {
      const float* x = inputs.data() + t * inputs.outerStride() + first;
      for (std::int64_t c = 0; c < count; ++c) sums[c] += x[c] * x[c];
    }
    for (std::int64_t c = 0; c < count; ++c) squared_norms_[first + c] += sums[c];
  });
  for (std::int64_t c = 0; c < columns_; ++c) {
    if (!std::isfinite(squared_norms_[c])) {
      throw failure("input {} of the linear is not finite, or too large to square", c);
    }
  }
}

void InputStatistics::add_ranges(const ConstMatrixRef& inputs) {
  const bool first_tokens = tokens_ == 0;
  parallel_tiles(columns_, kStrip, [&](std::int64_t first, std::int64_t count) {
    float* minimum = minimum_.data() + first;
    float* maximum = maximum_.data() + first;
    for (std::int64_t t = 0; t < inputs.rows(); ++t) {
      const float* x = inputs.data() + t * inputs.outerStride() + first;
      if (first_tokens && t == 0) {
        std::copy_n(x, count, minimum);
        std::copy_n(x, count, maximum);
      }
      for (std::int64_t c = 0; c < count; ++c) {
        minimum[c] = std::min(minimum[c], x[c]);
        maximum[c] = std::max(maximum[c], x[c]);
      }
    }
  });
}

void InputStatistics::add_sums(const ConstMatrixRef& inputs) {
  parallel_tiles(columns_, kStrip, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t t = 0; t < inputs.rows(); ++t) {
      const float* x = inputs.data() + t * inputs.outerStride() + first;
      for (std::int64_t c = 0; c < count; ++c) sums_[first + c] += x[c];
    }
  });
}

double InputStatistics::mean(std::int64_t column) const {
  return tokens_ == 0 ? 0.0 : sums_[column] / static_cast<double>(tokens_);
}

double InputStatistics::squared_norm(std::int64_t column) const {
  return moments_ ? moments_->upper_sums()(column, column) : squared_norms_[column];
}

float InputStatistics::largest(std::int64_t column) const {
  return std::max(maximum_[column], -minimum_[column]);
}

const SecondMoments& InputStatistics::moments() const {
  if (!moments_) throw failure("second moments of the inputs are needed and were not taken");
  return *moments_;
}

const InputShift& InputStatistics::shift() const {
  if (!shift_) throw failure("the shift of the inputs is needed and was not taken");
  return *shift_;
}

}  // namespace terse
