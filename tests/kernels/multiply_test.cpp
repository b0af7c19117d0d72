#include <array>
#include <limits>
#include <span>

#include "kernels/kernel_test.h"
#include "terse/core/error.h"
#include "terse/kernels/panels.h"

namespace terse::kernels {
namespace {

using Floats = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Tensor stored(DType dtype, std::int64_t n, std::int64_t k, const Floats& values) {
  return Tensor::from_floats(dtype, {n, k}, values);
}

Floats product(const Floats& x, std::int64_t rows, const Panels& w) {
  Floats y(static_cast<std::size_t>(rows * w.rows()), kNan);
  multiply(x.data(), w.columns(), rows, w, y.data(), w.rows());
  return y;
}

class MultiplyTest : public KernelTest {};

INSTANTIATE_TEST_SUITE_P(Sets, MultiplyTest, testing::ValuesIn(available_instruction_sets()),
                         set_name);

void expect_product(DType dtype, std::int64_t rows, std::int64_t n, std::int64_t k) {
  SCOPED_TRACE(testing::Message() << dtype_name(dtype) << " " << rows << "x" << n << "x" << k);
  const Tensor weight = stored(dtype, n, k, random_floats(n * k, 1));
  const Floats w = weight.to_floats();
  const Floats x = random_floats(rows * k, 2);
  const Floats y = product(x, rows, Panels::pack(weight));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < n; ++c) {
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t i = 0; i < k; ++i) {
        const double term = double{x[r * k + i]} * double{w[c * k + i]};
        sum += term;
        magnitude += std::abs(term);
      }
      // k roundings of a partial sum that is at most `magnitude`.
      ASSERT_NEAR(y[r * n + c], sum, 1e-7 * (1 + static_cast<double>(k) / 4) * magnitude)
          << "row " << r << " column " << c;
    }
  }
}

TEST_P(MultiplyTest, AgreesWithDoublePrecision) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t rows : {1, 2, 3, 5, 6, 7, 11, 12, 13, 64}) {
      expect_product(dtype, rows, 77, 45);
    }
    expect_product(dtype, 1, 1, 1);
    expect_product(dtype, 7, 31, 1);
    expect_product(dtype, 1, 32 * 9 + 5, 300);
    expect_product(dtype, 64, 33, 513);
    expect_product(dtype, 300, 64, 257);
  }
}

TEST_P(MultiplyTest, RowsDoNotDependOnTheirNumber) {
  constexpr std::int64_t kRows = 513;
  constexpr std::int64_t kN = 100;
  constexpr std::int64_t kK = 700;
  const Floats x = random_floats(kRows * kK, 3);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const Panels w = Panels::pack(stored(dtype, kN, kK, random_floats(kN * kK, 4)));
    const Floats all = product(x, kRows, w);
    for (const std::int64_t rows : {1, 2, 7, 12, 13, 64}) {
      for (std::int64_t begin = 0; begin + rows <= kRows; begin += 101) {
        const Floats some(x.begin() + begin * kK, x.begin() + (begin + rows) * kK);
        const Floats y = product(some, rows, w);
        ASSERT_TRUE(same_bits(y.data(), all.data() + begin * kN, rows * kN))
            << dtype_name(dtype) << ", " << rows << " rows from " << begin;
      }
    }
  }
}

TEST_P(MultiplyTest, ColumnsDoNotDependOnTheirNeighbours) {
  constexpr std::int64_t kN = 300;
  constexpr std::int64_t kK = 290;
  const Floats w = random_floats(kN * kK, 5);
  const Floats x = random_floats(14 * kK, 6);
  for (const std::int64_t rows : {1, 14}) {
    const Floats all = product(x, rows, Panels::pack(w.data(), kN, kK, kK));
    for (std::int64_t column = 0; column < kN; column += 23) {
      const Floats y = product(x, rows, Panels::pack(w.data() + column * kK, 1, kK, kK));
      for (std::int64_t r = 0; r < rows; ++r) {
        ASSERT_TRUE(same_bits(&y[r], &all[r * kN + column], 1)) << r << " " << column;
      }
    }
  }
}

TEST_P(MultiplyTest, ThreadsDoNotChangeABit) {
  constexpr std::int64_t kN = 1000;
  constexpr std::int64_t kK = 300;
  const Panels w = Panels::pack(stored(DType::bf16, kN, kK, random_floats(kN * kK, 7)));
  for (const std::int64_t rows : {1, 7, 513}) {
    const Floats x = random_floats(rows * kK, 8);
    set_thread_count(1);
    const Floats one = product(x, rows, w);
    for (const int threads : {2, 3, 5}) {
      set_thread_count(threads);
      const Floats many = product(x, rows, w);
      EXPECT_TRUE(same_bits(one.data(), many.data(), rows * kN)) << rows << ", " << threads;
    }
  }
}

TEST_P(MultiplyTest, GivesTheSameBitsInsideAParallelRegion) {
  constexpr std::int64_t kN = 70;
  constexpr std::int64_t kK = 300;
  const Panels w = Panels::pack(stored(DType::f32, kN, kK, random_floats(kN * kK, 7)));
  const Floats x = random_floats(20 * kK, 8);
  const Floats outside = product(x, 20, w);
  std::vector<Floats> inside(4);
  parallel_for(4, [&](std::int64_t i) { inside[static_cast<std::size_t>(i)] = product(x, 20, w); });
  for (const Floats& y : inside) EXPECT_TRUE(same_bits(y.data(), outside.data(), 20 * kN));
}

TEST_P(MultiplyTest, NanAndInfinityReachTheirRowsAndColumnsOnly) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t rows : {3, 40}) {
      Floats w(40 * 50, 1.0F);
      w[7 * 50 + 3] = kNan;
      w[8 * 50 + 3] = kInfinity;
      Floats x(static_cast<std::size_t>(rows * 50), 1.0F);
      x[1 * 50 + 4] = kNan;
      x[2 * 50 + 4] = -kInfinity;
      const Floats y = product(x, rows, Panels::pack(stored(dtype, 40, 50, w)));
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < 40; ++c) {
          const float value = y[r * 40 + c];
          if (c == 7 || r == 1 || (c == 8 && r == 2)) {
            EXPECT_TRUE(std::isnan(value)) << r << " " << c;
          } else if (c == 8 || r == 2) {
            EXPECT_EQ(value, c == 8 ? kInfinity : -kInfinity) << r << " " << c;
          } else {
            EXPECT_EQ(value, 50.0F) << r << " " << c;
          }
        }
      }
    }
  }
}

TEST_P(MultiplyTest, EveryHalfPrecisionValueIsReadExactly) {
  // One column per code; x = 1 reads it back. Rows 1 read storage, many rows an unpacked copy.
  // Values that are denormal as float32 count as 0.
  for (const DType dtype : {DType::bf16, DType::f16}) {
    std::vector<std::uint16_t> codes(1 << 16);
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint16_t>(i);
    const Tensor tensor = Tensor::from_values<std::uint16_t>(dtype, {1 << 16, 1}, std::span(codes));
    const Floats expected = tensor.to_floats();
    const Panels w = Panels::pack(tensor);
    for (const std::int64_t rows : {1, 13}) {
      const Floats y = product(Floats(static_cast<std::size_t>(rows), 1.0F), rows, w);
      for (std::size_t i = 0; i < codes.size(); ++i) {
        const bool denormal = std::fpclassify(expected[i]) == FP_SUBNORMAL;
        const float want = denormal ? 0.0F : expected[i];
        ASSERT_TRUE(std::isnan(want) ? std::isnan(y[i]) : y[i] == want)
            << dtype_name(dtype) << " code " << i << ": " << y[i] << ", expected " << want;
      }
    }
  }
}

TEST_P(MultiplyTest, StridesLeaveTheGapsAlone) {
  constexpr std::int64_t kN = 45;
  constexpr std::int64_t kK = 20;
  const Panels w = Panels::pack(stored(DType::f32, kN, kK, random_floats(kN * kK, 9)));
  for (const std::int64_t rows : {1, 5, 30}) {
    const Floats x = random_floats(rows * (kK + 3), 10);
    Floats y(static_cast<std::size_t>(rows * (kN + 4)), -7.0F);
    multiply(x.data(), kK + 3, rows, w, y.data(), kN + 4);
    for (std::int64_t r = 0; r < rows; ++r) {
      const Floats row(x.begin() + r * (kK + 3), x.begin() + r * (kK + 3) + kK);
      const Floats expected = product(row, 1, w);
      EXPECT_TRUE(same_bits(expected.data(), &y[r * (kN + 4)], kN));
      for (std::int64_t c = kN; c < kN + 4; ++c) EXPECT_EQ(y[r * (kN + 4) + c], -7.0F);
    }
  }
}

TEST_P(MultiplyTest, NoColumnsOfWeightGiveZero) {
  const Panels w = Panels::pack(nullptr, 5, 0, 0);
  for (const std::int64_t rows : {1, 40}) {
    EXPECT_THAT(product({}, rows, w), testing::Each(0.0F));
  }
}

TEST(PanelsTest, UnpacksEveryRowInEveryType) {
  const Floats values = random_floats(45 * 19, 11);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64, DType::f8_e4m3}) {
    const Tensor tensor =
        dtype == DType::f8_e4m3
            ? Tensor::from_bytes(dtype, {45, 19}, std::vector<std::byte>(45 * 19, std::byte{0x3a}))
            : stored(dtype, 45, 19, values);
    const Floats expected = tensor.to_floats();
    const Panels w = Panels::pack(tensor);
    EXPECT_EQ(w.dtype(), dtype == DType::bf16 || dtype == DType::f16 ? dtype : DType::f32);
    Floats row(19);
    for (std::int64_t r = 0; r < 45; ++r) {
      w.unpack_row(r, row.data());
      EXPECT_TRUE(same_bits(row.data(), &expected[r * 19], 19)) << dtype_name(dtype) << " " << r;
    }
  }
}

TEST(PanelsTest, LaysValuesOfAPanelSideBySide) {
  const Floats values = random_floats(40 * 3, 12);
  const Panels w = Panels::pack(values.data(), 40, 3, 3);
  EXPECT_EQ(w.bytes(), 2U * 32 * 3 * 4);
  for (std::int64_t i = 0; i < 64; ++i) {
    const auto* panel = reinterpret_cast<const float*>(w.panel(i / 32));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(w.panel(0)) % 64, 0U);
    for (std::int64_t j = 0; j < 3; ++j) {
      EXPECT_EQ(panel[j * 32 + i % 32], i < 40 ? values[i * 3 + j] : 0.0F) << i << " " << j;
    }
  }
}

TEST(PanelsTest, TransposedTensorGivesTheSamePanels) {
  const Floats values = random_floats(45 * 70, 13);
  Floats turned(values.size());
  for (std::int64_t i = 0; i < 45; ++i) {
    for (std::int64_t j = 0; j < 70; ++j) turned[j * 45 + i] = values[i * 70 + j];
  }
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
    const Panels a = Panels::pack(stored(dtype, 45, 70, values));
    const Panels b = Panels::pack(stored(dtype, 70, 45, turned), true);
    ASSERT_EQ(b.rows(), 45);
    ASSERT_EQ(b.columns(), 70);
    ASSERT_EQ(a.bytes(), b.bytes());
    EXPECT_EQ(std::memcmp(a.panel(0), b.panel(0), a.bytes()), 0) << dtype_name(dtype);
  }
}

TEST(PanelsTest, ReadsTensorsThatAreNotAligned) {
  const Floats values = random_floats(33 * 5, 14);
  std::vector<std::byte> bytes(values.size() * sizeof(float) + 1);
  std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(float));
  const Tensor tensor(DType::f32, {33, 5}, std::span(bytes).subspan(1), nullptr);
  const Panels a = Panels::pack(tensor);
  const Panels b = Panels::pack(values.data(), 33, 5, 5);
  EXPECT_EQ(std::memcmp(a.panel(0), b.panel(0), a.bytes()), 0);
}

TEST(PanelsTest, RefusesWhatIsNotAMatrixOfRealNumbers) {
  EXPECT_THROW(Panels::pack(Tensor::from_floats(DType::f32, {4}, Floats(4))), Error);
  EXPECT_THROW(Panels::pack(Tensor::from_bytes(DType::i8, {2, 2}, std::vector<std::byte>(4))),
               Error);
}

}  // namespace
}  // namespace terse::kernels
