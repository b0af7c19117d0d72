// Sparse codes in slots, held against the same codes in the dense packing.
#include "terse/kernels/slot_codes.h"

#include <limits>
#include <memory>

#include "kernels/kernel_test.h"
#include "terse/kernels/packed_integers.h"
#include "terse/kernels/panels.h"

namespace terse::kernels {
namespace {

using Floats = std::vector<float>;

struct Kind {
  std::string name;
  int bits = 4;
  std::int64_t group = 128;
  double kept = 0.5;    // share of the codes that do not stand for 0
  bool paired = false;  // at most two of four
  bool zeros = false;
  bool ordered = false;  // columns belong to groups in another order
  DType scale_dtype = DType::bf16;
};

// The same codes packed in both ways.
struct Example {
  std::vector<std::uint8_t> codes;
  Floats scales;
  std::vector<std::uint8_t> zeros;
  std::vector<std::int32_t> group_of;
  IntegerWeight weight;

  PackedIntegers dense() const { return packed(false); }
  PackedIntegers sparse() const { return packed(true); }

 private:
  PackedIntegers packed(bool sparse) const {
    IntegerWeight copy = weight;
    copy.sparse = sparse;
    return PackedIntegers::pack(copy);
  }
};

std::unique_ptr<Example> example(std::int64_t rows, std::int64_t columns, const Kind& kind) {
  auto e = std::make_unique<Example>();
  std::mt19937 generator(static_cast<unsigned>(rows + columns) + static_cast<unsigned>(kind.bits));
  std::uniform_int_distribution<int> code(0, (1 << kind.bits) - 1);
  std::bernoulli_distribution kept(kind.kept);
  const std::int64_t groups = columns / kind.group;
  for (std::int64_t c = 0; c < columns; ++c) {
    e->group_of.push_back(static_cast<std::int32_t>(c / kind.group));
  }
  if (kind.ordered) std::ranges::shuffle(e->group_of, generator);
  for (std::int64_t i = 0; i < rows * groups; ++i) {
    e->scales.push_back(static_cast<float>(9 + i % 23) / 1024.0F);
    e->zeros.push_back(static_cast<std::uint8_t>(code(generator)));
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t g = r * groups + e->group_of[static_cast<std::size_t>(c)];
      const auto zero = kind.zeros ? e->zeros[static_cast<std::size_t>(g)]
                                   : static_cast<std::uint8_t>(1 << (kind.bits - 1));
      const bool keep = kind.paired ? (c + r) % 4 < 2 : kept(generator);
      e->codes.push_back(keep ? static_cast<std::uint8_t>(code(generator)) : zero);
    }
  }
  e->weight = {.bits = kind.bits,
               .rows = rows,
               .columns = columns,
               .groups = groups,
               .group_of = kind.ordered ? std::span<const std::int32_t>(e->group_of)
                                        : std::span<const std::int32_t>(),
               .codes = CodeRows::of_bytes(e->codes.data(), columns),
               .scales = e->scales.data(),
               .zeros = kind.zeros ? e->zeros.data() : nullptr,
               .group_stride = groups,
               .scale_dtype = kind.scale_dtype};
  return e;
}

// Every width, number of index bits, half steps, extras and none.
const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all{
      {.name = "half", .kept = 0.5},
      {.name = "half, zero points", .kept = 0.5, .zeros = true},
      {.name = "quarter", .kept = 0.25},
      {.name = "quarter, zero points, ordered", .kept = 0.25, .zeros = true, .ordered = true},
      {.name = "few", .kept = 0.03, .scale_dtype = DType::f32},
      {.name = "none", .kept = 0.0},
      {.name = "two of four", .paired = true},
      {.name = "two of four, groups of 32", .group = 32, .paired = true, .zeros = true},
      {.name = "groups of 32", .group = 32, .kept = 0.1},
      {.name = "groups of 64", .group = 64, .kept = 0.25, .scale_dtype = DType::f16},
      {.name = "3 bits", .bits = 3, .kept = 0.25, .zeros = true},
      {.name = "2 bits", .bits = 2, .kept = 0.1},
  };
  return all;
}

class SlotCodesTest : public KernelTest {};

INSTANTIATE_TEST_SUITE_P(Sets, SlotCodesTest, testing::ValuesIn(available_instruction_sets()),
                         set_name);

Floats rounded_product(const Floats& x, std::int64_t rows, const PackedIntegers& w) {
  Floats y(static_cast<std::size_t>(rows * w.rows()), std::numeric_limits<float>::quiet_NaN());
  multiply_rounded(x.data(), w.columns(), rows, w, InputGrid::block, 0, y.data(), w.rows());
  return y;
}

Floats product(const Floats& x, std::int64_t rows, const PackedIntegers& w) {
  Floats y(static_cast<std::size_t>(rows * w.rows()), std::numeric_limits<float>::quiet_NaN());
  multiply(x.data(), w.columns(), rows, w, y.data(), w.rows());
  return y;
}

void expect_same_weight(const PackedIntegers& sparse, const PackedIntegers& dense) {
  const auto columns = static_cast<std::size_t>(dense.columns());
  std::vector<std::uint8_t> codes[2] = {std::vector<std::uint8_t>(columns),
                                        std::vector<std::uint8_t>(columns)};
  Floats values[2] = {Floats(columns), Floats(columns)};
  for (std::int64_t r = 0; r < dense.rows(); ++r) {
    sparse.codes(r, codes[0].data());
    dense.codes(r, codes[1].data());
    ASSERT_EQ(codes[0], codes[1]) << r;
    sparse.unpack_row(r, values[0].data());
    dense.unpack_row(r, values[1].data());
    ASSERT_EQ(values[0], values[1]) << r;
  }
}

TEST(SlotCodes, GiveBackWhatWasPacked) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    const auto e = example(45, 768, kind);
    const PackedIntegers sparse = e->sparse();
    EXPECT_FALSE(sparse.slots().empty());
    EXPECT_LT(sparse.bytes(), e->dense().bytes());
    expect_same_weight(sparse, e->dense());
  }
}

// Sums of integers are exact, so that the way to them changes no bit.
TEST_P(SlotCodesTest, MultiplyAsTheDensePackingDoes) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    const auto e = example(77, 768, kind);
    const PackedIntegers sparse = e->sparse();
    const PackedIntegers dense = e->dense();
    ASSERT_FALSE(sparse.slots().empty());
    for (const std::int64_t rows : {1, 2, 13, 300}) {
      const Floats x = random_floats(rows * 768, 5);
      ASSERT_EQ(rounded_product(x, rows, sparse), rounded_product(x, rows, dense)) << rows;
      ASSERT_EQ(product(x, rows, sparse), product(x, rows, dense)) << rows;
    }
  }
}

TEST_P(SlotCodesTest, RowsDoNotDependOnTheirNumberNorOnThreads) {
  const auto e = example(300, 1536, {.name = "half", .kept = 0.5});
  const PackedIntegers packed = e->sparse();
  const Floats x = random_floats(65 * 1536, 6);
  const Floats all = rounded_product(x, 65, packed);
  for (const std::int64_t rows : {1, 2, 7, 9, 33}) {
    set_thread_count(static_cast<int>(rows % 3 + 1));
    for (std::int64_t begin = 0; begin + rows <= 65; begin += 16) {
      const Floats some(x.begin() + begin * 1536, x.begin() + (begin + rows) * 1536);
      const Floats y = rounded_product(some, rows, packed);
      ASSERT_TRUE(same_bits(y.data(), all.data() + begin * 300, rows * 300))
          << rows << " rows from " << begin;
    }
  }
}

// Full and empty rows beside each other, and the largest numbers.
TEST_P(SlotCodesTest, RowsMayBeFullOrEmpty) {
  for (const bool zeros : {false, true}) {
    const auto e = example(200, 512, {.name = "", .kept = 0.2, .zeros = zeros});
    for (std::size_t i = 0; i < e->codes.size(); ++i) {
      const std::size_t row = i / 512;
      if (row == 3 || row == 199) e->codes[i] = i % 3 == 0 ? 0 : 15;
      if (row % 11 == 5) e->codes[i] = zeros ? e->zeros[row * 4 + i % 512 / 128] : 8;
    }
    const PackedIntegers sparse = e->sparse();
    const PackedIntegers dense = e->dense();
    ASSERT_FALSE(sparse.slots().empty());
    expect_same_weight(sparse, dense);
    for (const float value : {127.0F, -127.0F}) {
      const Floats x(3 * 512, value);
      EXPECT_EQ(rounded_product(x, 3, sparse), rounded_product(x, 3, dense));
      const Floats one(512, value);
      EXPECT_EQ(rounded_product(one, 1, sparse), rounded_product(one, 1, dense));
    }
  }
}

// 6 bits for every slot of 2:4, of which there are half as many as columns.
TEST(SlotCodes, TakeTheBitsOfTheirCodesIndicesAndScales) {
  const PackedIntegers paired =
      example(64, 1280, {.name = "", .kept = 0.5, .paired = true})->sparse();
  const std::size_t lists = (2 * 10 + 1) * 4;
  EXPECT_EQ(paired.bytes(), 64 * 1280 / 8 * (3 + 16.0 / 128) + lists);
  EXPECT_EQ(paired.slots().begins.back(), 0U);
}

// Where slots would save little or nothing.
TEST(SlotCodes, AreNotTakenWhereTheySaveLittle) {
  EXPECT_TRUE(example(64, 512, {.name = "", .kept = 0.7})->sparse().slots().empty());
  EXPECT_TRUE(example(64, 480, {.name = "", .group = 48, .kept = 0.2})->sparse().slots().empty());
  EXPECT_TRUE(example(64, 512, {.name = "", .bits = 8, .kept = 0.2})->sparse().slots().empty());
}

}  // namespace
}  // namespace terse::kernels
