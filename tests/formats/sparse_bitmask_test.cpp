#include "terse/formats/sparse_bitmask.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/expect_error.h"
#include "support/random_quantized.h"
#include "terse/core/random.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

using test::by_name;
using test::expect_error;
using test::lookup_in;

using Floats = std::vector<float>;
using Bytes = std::vector<std::uint8_t>;
using Integers = std::vector<std::int64_t>;

Tensor bytes_tensor(Shape shape, const Bytes& values) {
  return Tensor::from_values<std::uint8_t>(DType::u8, std::move(shape), values);
}

Tensor integers(Shape shape, const Integers& values) {
  return Tensor::from_values<std::int64_t>(DType::i64, std::move(shape), values);
}

// Row 0 is empty, row 1 full, of the others half is kept; with two_four two of each four at most.
Tensor random_sparse(std::int64_t rows, std::int64_t columns, DType dtype, bool two_four,
                     std::uint64_t seed) {
  Random random(seed);
  Floats values(static_cast<std::size_t>(rows * columns));
  for (std::int64_t r = 1; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const bool keep = two_four ? (c + r) % 4 < 2 : r == 1 || random.uniform() < 0.5;
      if (keep)
        values[static_cast<std::size_t>(r * columns + c)] =
            1 + static_cast<float>(random.uniform());
    }
  }
  return Tensor::from_floats(dtype, {rows, columns}, values);
}

SparseMatrix sparse(const Tensor& dense, SparseLayout layout) {
  const Matrix values = dense.to_matrix();
  SparseMask mask(values.rows(), values.cols(),
                  [&](std::int64_t r, std::int64_t c) { return values(r, c) != 0; });
  return SparseMatrix::from_dense(dense, std::move(mask), layout);
}

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::ranges::equal(a.bytes(), b.bytes());
}

// By numpy.packbits(tensor != 0, axis=-1, bitorder="little") of
// [[0, 1.5, 0, 0, -2, 0, 0, 0, 3], [0, ...], [4, 0, 0, 0, 0, 0, 0, 5, 0]].
TEST(SparseBitmask, ReadsABitmaskFileOfOld) {
  const std::map<std::string, Tensor> tensors{
      {"m.shape", integers({2}, {3, 9})},
      {"m.compressed", Tensor::from_floats(DType::bf16, {5}, Floats{1.5F, -2, 3, 4, 5})},
      {"m.bitmask", bytes_tensor({3, 2}, {0x12, 0x01, 0, 0, 0x81, 0})},
      {"m.row_offsets", integers({3}, {0, 3, 3})}};
  const SparseMatrix matrix = unpack_sparse("m", SparseLayout::bitmap, lookup_in(tensors));
  EXPECT_EQ(matrix.dense().dtype(), DType::bf16);
  EXPECT_EQ(matrix.dense().to_floats(), (Floats{0, 1.5F, 0, 0, -2, 0, 0, 0, 3, 0, 0, 0, 0, 0,
                                                0, 0,    0, 0, 4,  0, 0, 0, 0, 0, 0, 5, 0}));
  for (const auto& [name, tensor] : by_name(pack_sparse("m", matrix))) {
    EXPECT_TRUE(same(tensor, tensors.at(name))) << name;
  }
}

// [[0, 1, 0, 2, 3, 0, 4, 0], [0, 0, 0, 5, 0, 0, 0, 0]], of which the reference keeps two of each
// four whatever they are.
TEST(SparseBitmask, ReadsATwoFourFileOfOld) {
  const std::map<std::string, Tensor> tensors{
      {"m.shape", integers({2, 1}, {2, 8})},
      {"m.compressed", Tensor::from_floats(DType::f16, {2, 4}, Floats{1, 2, 3, 4, 0, 5, 0, 0})},
      {"m.bitmask", bytes_tensor({2, 1}, {0x5A, 0x39})}};
  const SparseMatrix matrix = unpack_sparse("m", SparseLayout::two_four, lookup_in(tensors));
  EXPECT_EQ(matrix.dense().to_floats(), (Floats{0, 1, 0, 2, 3, 0, 4, 0, 0, 0, 0, 5, 0, 0, 0, 0}));
  for (const auto& [name, tensor] : by_name(pack_sparse("m", matrix))) {
    EXPECT_TRUE(same(tensor, tensors.at(name))) << name;
  }
}

TEST(SparseBitmask, WhatIsStoredIsReadBack) {
  std::uint64_t seed = 0;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
    for (const std::int64_t columns : {1, 7, 8, 9, 100}) {
      const Tensor dense = random_sparse(70, columns, dtype, false, ++seed);
      const auto tensors = by_name(pack_sparse("m", sparse(dense, SparseLayout::bitmap)));
      const SparseMatrix read = unpack_sparse("m", SparseLayout::bitmap, lookup_in(tensors));
      EXPECT_TRUE(same(read.dense(), dense)) << columns;
      Floats row(static_cast<std::size_t>(columns));
      const Matrix values = dense.to_matrix();
      for (const std::int64_t r : {0, 1, 5, 69}) {
        read.row(r, row.data());
        EXPECT_TRUE(std::ranges::equal(row, values.row(r))) << r;
      }
    }
    for (const std::int64_t columns : {4, 12, 64}) {
      const Tensor dense = random_sparse(70, columns, dtype, true, ++seed);
      const SparseMatrix matrix = sparse(dense, SparseLayout::two_four);
      EXPECT_EQ(matrix.values.shape(), (Shape{70, columns / 2}));
      const auto tensors = by_name(pack_sparse("m", matrix));
      EXPECT_TRUE(
          same(unpack_sparse("m", SparseLayout::two_four, lookup_in(tensors)).dense(), dense));
    }
  }
}

TEST(SparseBitmask, AMatrixOfZerosHasNoValues) {
  const Tensor dense = Tensor::from_floats(DType::f32, {3, 5}, Floats(15));
  const auto tensors = by_name(pack_sparse("m", sparse(dense, SparseLayout::bitmap)));
  EXPECT_EQ(tensors.at("m.compressed").shape(), (Shape{0}));
  EXPECT_TRUE(same(unpack_sparse("m", SparseLayout::bitmap, lookup_in(tensors)).dense(), dense));
}

TEST(SparseBitmask, SameBytesOnAnyNumberOfThreads) {
  const Tensor dense = random_sparse(300, 50, DType::bf16, false, 3);
  const int before = thread_count();
  set_thread_count(1);
  const auto expected = by_name(pack_sparse("m", sparse(dense, SparseLayout::bitmap)));
  for (const int threads : {2, 3, 5}) {
    set_thread_count(threads);
    for (const auto& [name, tensor] :
         by_name(pack_sparse("m", sparse(dense, SparseLayout::bitmap)))) {
      EXPECT_TRUE(same(tensor, expected.at(name))) << name;
    }
  }
  set_thread_count(before);
}

TEST(SparseBitmask, RefusesTensorsThatLie) {
  const auto refused_in = [](SparseLayout layout) {
    return [=](const std::string& part, const Tensor& tensor, const std::string& says) {
      const bool two_four = layout == SparseLayout::two_four;
      auto tensors =
          by_name(pack_sparse("m", sparse(random_sparse(3, 12, DType::f32, two_four, 1), layout)));
      if (tensor.shape().empty()) {
        tensors.erase("m." + part);
      } else {
        tensors["m." + part] = tensor;
      }
      expect_error(ErrorKind::bad_input, says,
                   [&] { unpack_sparse("m", layout, lookup_in(tensors)); });
    };
  };
  const auto refused = refused_in(SparseLayout::bitmap);
  for (const char* part : {"shape", "compressed", "bitmask", "row_offsets"}) {
    refused(part, Tensor(), std::string("m.") + part);
  }
  refused("shape", integers({2}, {1L << 40, 12}), "is not the shape of a weight");
  refused("shape", integers({2}, {3, -12}), "[3, -12] is not the shape of a weight");
  refused("shape", integers({2}, {0, 12}), "is not the shape of a weight");
  refused("shape", integers({3}, {3, 12, 1}), "expected two numbers");
  refused("shape", bytes_tensor({2}, {3, 12}), "m.shape: expected I64, found U8");
  refused("shape", integers({2}, {3, 20}), "m.bitmask: expected U8 [3, 3]");
  refused("shape", integers({2}, {2147483647, 2147483647}), "m.bitmask: expected U8");
  refused("shape", integers({2}, {3, 9}), "m.bitmask: row 1 has bits after column 8");
  refused("bitmask", bytes_tensor({6}, Bytes(6)), "m.bitmask: expected U8 [3, 2]");
  refused("bitmask", bytes_tensor({3, 2}, Bytes(6)), "m.compressed: expected real numbers [0]");
  refused("bitmask", integers({3, 2}, Integers(6)), "m.bitmask: expected U8 [3, 2]");
  refused("compressed", Tensor::from_floats(DType::f32, {2}, Floats(2)), "as the bitmask says");
  refused("compressed", integers({12}, Integers(12)), "m.compressed: expected real numbers");
  refused("row_offsets", integers({3}, {0, 1, 12}), "m.row_offsets: row 1 begins at 1, but at 0");
  refused("row_offsets", integers({4}, {0, 0, 12, 12}), "m.row_offsets: expected I64 [3]");
  const auto refused_two_four = refused_in(SparseLayout::two_four);
  refused_two_four("bitmask", bytes_tensor({3, 2}, {0x33, 3, 0x33, 3, 0x71, 3}),
                   "row 2 does not keep two of each four");
  refused_two_four("bitmask", bytes_tensor({3, 2}, {0x33, 3, 0x33, 1, 0x33, 3}),
                   "row 1 does not keep");
  expect_error(ErrorKind::bad_input, "m: the layout 2:4 needs a multiple of 4 columns, found 6",
               [] {
                 SparseMask::read("m", bytes_tensor({1, 1}, {0x13}), 1, 6, SparseLayout::two_four);
               });
  refused_two_four("compressed", Tensor::from_floats(DType::f32, {18}, Floats(18)),
                   "expected real numbers [3, 6]");
}

}  // namespace
}  // namespace terse
