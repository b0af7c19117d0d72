// Schemes of every strategy and symmetry, as parameters of tests.
#pragma once

#include <initializer_list>
#include <vector>

#include "terse/formats/quantized_matrix.h"

namespace terse::test {

/// Groups of 8; scales in float32, those of `bf16_bits` in bfloat16.
inline std::vector<QuantizationScheme> grid_schemes(std::initializer_list<int> bits,
                                                    int bf16_bits) {
  std::vector<QuantizationScheme> all;
  for (const int width : bits) {
    for (const bool symmetric : {false, true}) {
      for (const auto strategy : {QuantizationStrategy::tensor, QuantizationStrategy::channel,
                                  QuantizationStrategy::group}) {
        all.push_back({.bits = width,
                       .symmetric = symmetric,
                       .strategy = strategy,
                       .group_size = 8,
                       .scale_dtype = width == bf16_bits ? DType::bf16 : DType::f32});
      }
    }
  }
  return all;
}

}  // namespace terse::test
