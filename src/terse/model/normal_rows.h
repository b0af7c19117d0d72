// Rows of normal random numbers that can be made in any order, by any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace terse {

/// The rows of a matrix of N(0, deviation^2), of which some values may be zero. A row depends on
/// seed, name, number of columns and its own number alone. Values have 16 bits of probability: the
/// largest magnitude is 4.3 deviations.
class NormalRows {
 public:
  NormalRows(std::uint64_t seed, std::string_view name, std::int64_t columns, double deviation);

  /// From now on the smallest magnitudes are zero, this share (below 1) of all.
  void drop_smallest(double share);
  /// From now on the two smallest magnitudes of each four neighbours are zero.
  void keep_two_of_four() { two_of_four_ = true; }

  /// Row `index`; `out` becomes as long as it is.
  void make(std::int64_t index, std::vector<float>& out) const;

 private:
  std::uint64_t stream_;
  std::int64_t columns_;
  float deviation_;
  float least_ = 0;  ///< Smaller magnitudes are zero.
  bool two_of_four_ = false;
};

}  // namespace terse
