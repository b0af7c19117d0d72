#include "terse/kernels/packed_integers.h"

#include <limits>
#include <numeric>

#include "kernels/kernel_test.h"
#include "terse/kernels/panels.h"

namespace terse::kernels {
namespace {

using Floats = std::vector<float>;

// A weight of random codes, with what it stands for.
struct Example {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t groups = 0;
  std::vector<std::uint8_t> codes;
  Floats scales;
  std::vector<std::uint8_t> zeros;
  std::vector<std::int32_t> group_of;
  IntegerWeight weight;

  int zero(std::int64_t row, std::int64_t group) const {
    return weight.zeros == nullptr ? 1 << (weight.bits - 1)
                                   : zeros[static_cast<std::size_t>(row * groups + group)];
  }
  std::int64_t group(std::int64_t column) const {
    return group_of.empty() ? column / (columns / groups)
                            : group_of[static_cast<std::size_t>(column)];
  }
  float scale(std::int64_t row, std::int64_t group) const {
    return scales[static_cast<std::size_t>(row * groups + group)];
  }
  float value(std::int64_t row, std::int64_t column) const {
    const std::int64_t g = group(column);
    const int code = codes[static_cast<std::size_t>(row * columns + column)];
    return scale(row, g) * static_cast<float>(code - zero(row, g));
  }
  Floats dense() const {
    Floats values;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) values.push_back(value(r, c));
    }
    return values;
  }
};

struct Kind {
  int bits = 4;
  std::int64_t group = 32;
  bool zeros = false;
  bool ordered = false;
  DType scale_dtype = DType::f32;
};

std::unique_ptr<Example> example(std::int64_t rows, std::int64_t columns, const Kind& kind) {
  auto e = std::make_unique<Example>();
  e->rows = rows;
  e->columns = columns;
  e->groups = columns / kind.group;
  std::mt19937 generator(static_cast<unsigned>(rows + columns + kind.bits));
  std::uniform_int_distribution<int> code(0, (1 << kind.bits) - 1);
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    e->codes.push_back(static_cast<std::uint8_t>(code(generator)));
  }
  // Eighths of small powers of two: exact in 16 bits.
  std::uniform_int_distribution<int> mantissa(9, 31);
  for (std::int64_t i = 0; i < rows * e->groups; ++i) {
    e->scales.push_back(static_cast<float>(mantissa(generator)) / 1024.0F);
    e->zeros.push_back(static_cast<std::uint8_t>(code(generator)));
  }
  if (kind.ordered) {
    for (std::int64_t c = 0; c < columns; ++c) {
      e->group_of.push_back(static_cast<std::int32_t>(c / kind.group));
    }
    std::ranges::shuffle(e->group_of, generator);
  }
  e->weight = {.bits = kind.bits,
               .rows = rows,
               .columns = columns,
               .groups = e->groups,
               .group_of = e->group_of,
               .codes = CodeRows::of_bytes(e->codes.data(), columns),
               .scales = e->scales.data(),
               .zeros = kind.zeros ? e->zeros.data() : nullptr,
               .group_stride = e->groups,
               .scale_dtype = kind.scale_dtype};
  return e;
}

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = [] {
    std::vector<Kind> kinds;
    for (int bits = 2; bits <= 8; ++bits) {
      kinds.push_back({.bits = bits});
      kinds.push_back({.bits = bits, .group = 48, .zeros = true});
    }
    kinds.push_back({.bits = 4, .group = 96, .zeros = true, .ordered = true});
    kinds.push_back({.bits = 3, .group = 24, .scale_dtype = DType::f16});
    kinds.push_back({.bits = 8, .group = 288, .scale_dtype = DType::bf16});
    kinds.push_back({.bits = 4, .group = 288, .ordered = true});
    return kinds;
  }();
  return all;
}

std::string name(const Kind& kind) {
  return std::to_string(kind.bits) + " bits, groups of " + std::to_string(kind.group) +
         (kind.zeros ? ", zero points" : "") + (kind.ordered ? ", ordered" : "");
}

class PackedIntegersTest : public KernelTest {};

INSTANTIATE_TEST_SUITE_P(Sets, PackedIntegersTest, testing::ValuesIn(available_instruction_sets()),
                         set_name);

TEST(PackedIntegers, GiveBackWhatWasPacked) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(name(kind));
    const auto e = example(45, 288, kind);
    const PackedIntegers packed = PackedIntegers::pack(e->weight);
    std::vector<std::uint8_t> codes(e->codes.size());
    Floats values(e->codes.size());
    for (std::int64_t r = 0; r < e->rows; ++r) {
      packed.codes(r, codes.data() + r * e->columns);
      packed.unpack_row(r, values.data() + r * e->columns);
    }
    EXPECT_EQ(codes, e->codes);
    EXPECT_EQ(values, e->dense());
    if (kind.ordered) continue;
    for (std::int64_t r = 0; r < e->rows; ++r) {
      Floats scales(static_cast<std::size_t>(e->groups));
      std::vector<std::uint8_t> zeros(scales.size());
      packed.grids(r, scales.data(), zeros.data());
      for (std::int64_t g = 0; g < e->groups; ++g) {
        EXPECT_EQ(scales[g], e->scale(r, g));
        EXPECT_EQ(zeros[g], e->zero(r, g));
      }
    }
  }
}

// Codes of 4 bits as a file has them: two to a byte, something else after each row.
TEST(PackedIntegers, ArePackedFromNibblesAsFromBytes) {
  for (const Kind& kind : {Kind{.group = 32}, Kind{.group = 96, .zeros = true}, Kind{.group = 48},
                           Kind{.group = 96, .ordered = true}}) {
    SCOPED_TRACE(name(kind));
    const auto e = example(77, 288, kind);
    const PackedIntegers expected = PackedIntegers::pack(e->weight);
    constexpr std::int64_t kStride = 288 / 2 + 4;
    std::vector<std::byte> nibbles(static_cast<std::size_t>(e->rows * kStride), std::byte{0xa5});
    for (std::int64_t r = 0; r < e->rows; ++r) {
      for (std::int64_t c = 0; c < e->columns; c += 2) {
        const std::uint8_t* pair = e->codes.data() + r * e->columns + c;
        nibbles[static_cast<std::size_t>(r * kStride + c / 2)] =
            static_cast<std::byte>(pair[0] | pair[1] << 4);
      }
    }
    e->weight.codes.nibbles = nibbles.data();
    e->weight.codes.nibble_stride = kStride;
    const PackedIntegers packed = PackedIntegers::pack(e->weight);
    ASSERT_EQ(packed.bytes(), expected.bytes());
    EXPECT_EQ(std::memcmp(packed.block(0, 0), expected.block(0, 0), packed.bytes()), 0);
  }
}

TEST(PackedIntegers, TakeTheBitsOfTheirCodesAndScales) {
  const auto half_scales = example(64, 2560, {.bits = 4, .group = 128, .scale_dtype = DType::f16});
  EXPECT_EQ(PackedIntegers::pack(half_scales->weight).bytes(), 64 * 2560 / 8 * (4 + 16.0 / 128));
  const auto zeros =
      example(32, 96, {.bits = 3, .group = 32, .zeros = true, .scale_dtype = DType::bf16});
  EXPECT_EQ(PackedIntegers::pack(zeros->weight).bytes(), 32 * 96 / 8 * (3 + 24.0 / 32));
}

Floats rounded_product(const Floats& x, std::int64_t rows, const PackedIntegers& w,
                       InputGrid grid = InputGrid::block, float scale = 0) {
  Floats y(static_cast<std::size_t>(rows * w.rows()), std::numeric_limits<float>::quiet_NaN());
  multiply_rounded(x.data(), w.columns(), rows, w, grid, scale, y.data(), w.rows());
  return y;
}

// Inputs as the grid has them: the columns of a block of a group share a scale.
Floats on_grid(const Floats& x, const Example& e, const PackedIntegers& packed, InputGrid grid,
               float fixed) {
  Floats rounded(x.size());
  const auto rows = static_cast<std::int64_t>(x.size()) / e.columns;
  std::vector<std::int32_t> order = packed.order();
  if (order.empty()) {
    order.resize(static_cast<std::size_t>(e.columns));
    std::iota(order.begin(), order.end(), 0);
  }
  const std::int64_t block =
      grid == InputGrid::block ? packed.format().block : packed.packed_columns();
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::size_t begin = 0; begin < order.size(); begin += static_cast<std::size_t>(block)) {
      const std::span columns(order.begin() + static_cast<std::ptrdiff_t>(begin),
                              static_cast<std::size_t>(block));
      float most = 0;
      for (const std::int32_t c : columns) {
        if (c >= 0) most = std::max(most, std::abs(x[r * e.columns + c]));
      }
      const float scale = grid == InputGrid::fixed ? fixed : most / 127;
      for (const std::int32_t c : columns) {
        if (c < 0) continue;
        const float q = std::nearbyint(x[r * e.columns + c] / scale);
        rounded[r * e.columns + c] = scale * std::clamp(q, -127.0F, 127.0F);
      }
    }
  }
  return rounded;
}

// The tolerance is a share of the sum of magnitudes.
void expect_near(const Floats& y, const Floats& x, const Floats& w, const Example& e,
                 float tolerance) {
  for (std::int64_t r = 0; r < static_cast<std::int64_t>(x.size()) / e.columns; ++r) {
    for (std::int64_t c = 0; c < e.rows; ++c) {
      double sum = 0;
      double size = 0;
      for (std::int64_t i = 0; i < e.columns; ++i) {
        const double term = double{x[r * e.columns + i]} * double{w[c * e.columns + i]};
        sum += term;
        size += std::abs(term);
      }
      ASSERT_NEAR(y[r * e.rows + c], sum, double{tolerance} * size) << "row " << r << " of " << c;
    }
  }
}

TEST_P(PackedIntegersTest, MultipliesInputsOnTheirGrid) {
  constexpr std::int64_t kRows = 13;
  for (const Kind& kind : kinds()) {
    for (const InputGrid grid : {InputGrid::block, InputGrid::row, InputGrid::fixed}) {
      SCOPED_TRACE(name(kind));
      const auto e = example(77, 288, kind);
      const PackedIntegers packed = PackedIntegers::pack(e->weight);
      const Floats x = random_floats(kRows * e->columns, 5);
      const Floats y = rounded_product(x, kRows, packed, grid, 0.015625F);
      expect_near(y, on_grid(x, *e, packed, grid, 0.015625F), e->dense(), *e, 1e-5F);
    }
  }
}

TEST_P(PackedIntegersTest, MultipliesFloatsAsItsExpansionDoes) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(name(kind));
    const auto e = example(77, 576, kind);
    const Floats dense = e->dense();
    const PackedIntegers packed = PackedIntegers::pack(e->weight);
    const Panels expanded = Panels::pack(dense.data(), e->rows, e->columns, e->columns);
    for (const std::int64_t rows : {1, 13, 64}) {
      const Floats x = random_floats(rows * e->columns, 5);
      Floats y(static_cast<std::size_t>(rows * e->rows));
      Floats expected = y;
      multiply(x.data(), e->columns, rows, packed, y.data(), e->rows);
      multiply(x.data(), e->columns, rows, expanded, expected.data(), e->rows);
      if (packed.order().empty()) {
        ASSERT_EQ(y, expected) << rows;
      } else {
        expect_near(y, x, dense, *e, 1e-6F);
      }
    }
  }
}

TEST_P(PackedIntegersTest, LargestCodesAndInputsDoNotOverflow) {
  for (int bits = 2; bits <= 8; ++bits) {
    SCOPED_TRACE(bits);
    const auto e = example(33, 256, {.bits = bits, .group = 128});
    const auto top = static_cast<std::uint8_t>((1 << bits) - 1);
    for (std::size_t i = 0; i < e->codes.size(); ++i) e->codes[i] = i % 3 == 0 ? 0 : top;
    const PackedIntegers packed = PackedIntegers::pack(e->weight);
    for (const float value : {127.0F, -127.0F}) {
      const Floats x(static_cast<std::size_t>(9 * e->columns), value);
      expect_near(rounded_product(x, 9, packed), x, e->dense(), *e, 1e-6F);
      expect_near(rounded_product(Floats(x.begin(), x.begin() + e->columns), 1, packed),
                  Floats(x.begin(), x.begin() + e->columns), e->dense(), *e, 1e-6F);
    }
  }
}

TEST_P(PackedIntegersTest, RowsDoNotDependOnTheirNumberNorOnThreads) {
  constexpr std::int64_t kRows = 300;
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(name(kind));
    const auto e = example(300, 1440, kind);
    const PackedIntegers packed = PackedIntegers::pack(e->weight);
    const Floats x = random_floats(kRows * e->columns, 6);
    const Floats all = rounded_product(x, kRows, packed);
    for (const std::int64_t rows : {1, 2, 7, 8, 9, 65}) {
      set_thread_count(static_cast<int>(rows % 3 + 1));
      for (std::int64_t begin = 0; begin + rows <= kRows; begin += 97) {
        const Floats some(x.begin() + begin * e->columns, x.begin() + (begin + rows) * e->columns);
        const Floats y = rounded_product(some, rows, packed);
        ASSERT_TRUE(same_bits(y.data(), all.data() + begin * e->rows, rows * e->rows))
            << rows << " rows from " << begin;
      }
    }
  }
}

TEST_P(PackedIntegersTest, ValuesThatAreNotFiniteShow) {
  const auto e = example(40, 288, {});
  const PackedIntegers packed = PackedIntegers::pack(e->weight);
  for (const float wrong :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    for (const InputGrid grid : {InputGrid::block, InputGrid::row, InputGrid::fixed}) {
      Floats x = random_floats(2 * e->columns, 8);
      x[100] = wrong;
      const Floats y = rounded_product(x, 2, packed, grid, 0.01F);
      EXPECT_FALSE(std::isfinite(y[0])) << wrong;
      EXPECT_TRUE(std::isfinite(y[40])) << wrong;
    }
  }
}

TEST_P(PackedIntegersTest, ZeroInputsGiveZero) {
  const auto e = example(40, 288, {.bits = 4, .group = 48, .zeros = true});
  const PackedIntegers packed = PackedIntegers::pack(e->weight);
  for (const InputGrid grid : {InputGrid::block, InputGrid::row}) {
    const Floats y = rounded_product(Floats(288, 0.0F), 1, packed, grid);
    EXPECT_EQ(y, Floats(40, 0.0F));
  }
}

}  // namespace
}  // namespace terse::kernels
