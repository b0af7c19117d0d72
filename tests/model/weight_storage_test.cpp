#include "terse/model/weights/storage.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.h"
#include "support/grid_schemes.h"
#include "support/random_quantized.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/formats/quantization_config.h"
#include "terse/formats/safetensors.h"
#include "terse/model/activation_grid.h"
#include "terse/model/storage_config.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/sparse.h"

namespace terse {
namespace {

using test::expect_error;
using test::prune_codes;
using test::prune_two_of_four;
using test::random_matrix;
using test::TemporaryDirectory;

Matrix random_values(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Random random(seed);
  Matrix values(rows, columns);
  for (float& value : values.reshaped()) value = static_cast<float>(0.5 + random.uniform());
  return values;
}

// `share` of the values are zero.
Matrix pruned(Matrix values, double share) {
  Random random(1);
  for (float& value : values.reshaped()) value = random.uniform() < share ? 0.0F : value;
  return values;
}

Matrix two_of_four(Matrix values) {
  for (std::int64_t r = 0; r < values.rows(); ++r) {
    for (std::int64_t c = 0; c < values.cols(); ++c) {
      if ((c + r) % 4 < 2) values(r, c) = 0;
    }
  }
  return values;
}

std::uint64_t stored_bytes(const Weight& weight) {
  std::uint64_t bytes = 0;
  for (const NamedTensor& tensor : weight.tensors("m")) bytes += tensor.tensor.bytes().size();
  return bytes;
}

QuantizationScheme scheme_w8a8(ActivationStrategy strategy, bool symmetric = true) {
  QuantizationScheme scheme{
      .bits = 8, .symmetric = true, .strategy = QuantizationStrategy::channel};
  scheme.activations = ActivationScheme{8, symmetric, strategy};
  return scheme;
}

// A checkpoint of one module that config.json speaks of as a whole model would.
Checkpoint saved(const Weight& weight, const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  SafetensorsWriter writer(directory / "model.safetensors");
  for (const NamedTensor& tensor : weight.tensors("m")) writer.add(tensor.name, tensor.tensor);
  writer.commit();
  Json config = Json::object();
  add_storage_config(config, {{"m", "Linear", weight.config()}}, {{"m", "n"}, "e", "h", false, {}});
  write_file(directory / "config.json", config.dump());
  return Checkpoint::open(directory);
}

void expect_saved_and_loaded(const Weight& weight) {
  const TemporaryDirectory directory;
  const Checkpoint checkpoint = saved(weight, directory / "model");
  const WeightLoader loader(checkpoint);
  const WeightSource source{checkpoint, "m", "Linear", {weight.rows(), weight.columns()}, false};
  EXPECT_EQ(loader.kind(source), weight.kind());
  EXPECT_EQ(loader.compressed(source), !weight.config().is_null());
  const std::unique_ptr<Weight> loaded = loader.load(source);
  EXPECT_EQ(loaded->kind(), weight.kind());
  EXPECT_EQ(loaded->config(), weight.config());
  EXPECT_EQ(loaded->dense(), weight.dense());
  const auto written = weight.tensors("m");
  const auto again = loaded->tensors("m");
  ASSERT_EQ(again.size(), written.size());
  for (std::size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(again[i].name, written[i].name);
    EXPECT_EQ(again[i].tensor.dtype(), written[i].tensor.dtype());
    EXPECT_EQ(again[i].tensor.shape(), written[i].tensor.shape());
    EXPECT_TRUE(std::ranges::equal(again[i].tensor.bytes(), written[i].tensor.bytes()));
  }
}

// y = x W^T in doubles; float32 sums of some hundred terms agree to 1e-5 of the sum of sizes.
void expect_multiplies(Weight& weight, const Matrix& x, const Matrix& rounded) {
  weight.prepare();
  Matrix y(x.rows(), weight.rows());
  weight.multiply(x, y);
  const Matrix dense = weight.dense();
  for (std::int64_t r = 0; r < y.rows(); ++r) {
    for (std::int64_t o = 0; o < y.cols(); ++o) {
      double sum = 0;
      double size = 0;
      for (std::int64_t c = 0; c < dense.cols(); ++c) {
        const double term = static_cast<double>(rounded(r, c)) * dense(o, c);
        sum += term;
        size += std::abs(term);
      }
      EXPECT_NEAR(y(r, o), sum, 1e-5 * size + 1e-30);
    }
  }
  std::vector<float> row(static_cast<std::size_t>(weight.columns()));
  for (std::int64_t o = 0; o < weight.rows(); ++o) {
    weight.row(o, row.data());
    EXPECT_TRUE(std::ranges::equal(row, dense.row(o)));
  }
  Matrix one(1, weight.rows());
  weight.multiply(x.row(1), one);
  EXPECT_EQ(one, Matrix(y.row(1)));  // batch-invariant
}

void expect_same_when_prepared(const QuantizedMatrix& matrix) {
  GroupQuantizedWeight weight(matrix);
  const Matrix dense = weight.dense();
  weight.prepare();
  test::expect_equal(weight.quantized(), matrix);
  EXPECT_EQ(weight.dense(), dense);
  Vector row(weight.columns());
  weight.row(2, row.data());
  EXPECT_EQ(Matrix(row.transpose()), Matrix(dense.row(2)));
}

TEST(WeightStorage, IntegersArePackedWithoutLoss) {
  for (QuantizationScheme scheme : test::grid_schemes({2, 3, 4, 8}, 4)) {
    SCOPED_TRACE(scheme_kind(scheme));
    expect_same_when_prepared(random_matrix(scheme, 35, 48, 1));
    if (scheme.strategy != QuantizationStrategy::group) continue;
    scheme.actorder = ActivationOrdering::group;
    expect_same_when_prepared(random_matrix(scheme, 35, 48, 2));
  }
}

// Also where only what is not zero was packed.
TEST(WeightStorage, SparseIntegersAreStoredTheSameOncePacked) {
  for (QuantizationScheme scheme : test::grid_schemes({2, 4, 8}, 32)) {
    SCOPED_TRACE(scheme_kind(scheme));
    for (const double share : {0.5, 0.75}) {
      const QuantizedMatrix matrix = prune_codes(random_matrix(scheme, 35, 256, 1), share, 2);
      const SparseQuantizedWeight before(matrix, SparseLayout::bitmap);
      SparseQuantizedWeight weight(matrix, SparseLayout::bitmap);
      weight.prepare();
      EXPECT_EQ(weight.dense(), before.dense());
      const auto expected = before.tensors("m");
      const auto stored = weight.tensors("m");
      ASSERT_EQ(stored.size(), expected.size());
      for (std::size_t i = 0; i < stored.size(); ++i) {
        EXPECT_EQ(stored[i].name, expected[i].name);
        EXPECT_TRUE(std::ranges::equal(stored[i].tensor.bytes(), expected[i].tensor.bytes()));
      }
    }
  }
}

// Products read fewer bytes, and say how many.
TEST(WeightStorage, SparseIntegersCostWhatTheirSlotsTake) {
  const QuantizedMatrix matrix = random_matrix({.bits = 4, .group_size = 128}, 64, 512, 1);
  const auto bytes = [](const QuantizedMatrix& codes) {
    const auto weight = smallest_weight(codes);
    weight->prepare();
    return static_cast<double>(weight->cost().bytes);
  };
  const double dense = bytes(matrix);
  EXPECT_LT(bytes(prune_two_of_four(matrix)), dense / 1.2);
  EXPECT_LT(bytes(prune_codes(matrix, 0.75, 1)), dense / 1.15);
}

TEST(WeightStorage, RealNumbersGetTheSmallestKind) {
  const Matrix dense = random_values(32, 64, 1);
  const auto kind = [](const Matrix& values) {
    return smallest_weight(values, DType::bf16)->kind();
  };
  EXPECT_EQ(kind(dense), "bfloat16");
  EXPECT_EQ(kind(pruned(dense, 0.04)), "bfloat16");
  EXPECT_EQ(kind(pruned(dense, 0.5)), "bfloat16 bitmap");
  EXPECT_EQ(kind(two_of_four(dense)), "bfloat16 2:4");
  EXPECT_EQ(kind(pruned(two_of_four(dense), 0.8)), "bfloat16 bitmap");
  EXPECT_EQ(kind(random_values(3, 1, 1)), "bfloat16");
  // Of two of four, but in a width that 4 does not divide.
  EXPECT_EQ(kind(two_of_four(random_values(32, 66, 1))), "bfloat16 bitmap");
}

TEST(WeightStorage, IntegersGetTheSmallestKind) {
  const auto kind = [](const QuantizedMatrix& matrix) { return smallest_weight(matrix)->kind(); };
  const QuantizationScheme four{.bits = 4, .group_size = 128};
  const QuantizedMatrix matrix = random_matrix(four, 32, 256, 1);
  EXPECT_EQ(kind(matrix), "4 bits group 128");
  EXPECT_EQ(kind(prune_codes(matrix, 0.6, 1)), "4 bits group 128 bitmap");
  EXPECT_EQ(kind(prune_two_of_four(matrix)), "4 bits group 128 2:4");
  // One bit a code for the mask, and half the codes: nothing is gained.
  QuantizedMatrix two = random_matrix({.bits = 2, .symmetric = true}, 32, 256, 1);
  std::ranges::replace(two.codes, std::uint8_t{2}, std::uint8_t{3});
  EXPECT_EQ(kind(prune_two_of_four(two)), "2 bits group 128");
  const QuantizedMatrix w8a8 = random_matrix(scheme_w8a8(ActivationStrategy::token), 32, 256, 1);
  EXPECT_EQ(kind(w8a8), "8 bits per channel, inputs 8 bits per token");
  EXPECT_EQ(kind(prune_two_of_four(w8a8)), "8 bits per channel 2:4, inputs 8 bits per token");
}

// Whatever is chosen, no other kind takes fewer bytes.
TEST(WeightStorage, NoOtherKindIsSmaller) {
  for (const double share : {0.0, 0.03, 0.06, 0.1, 0.2, 0.3, 0.6, 1.0}) {
    const Matrix values = pruned(random_values(16, 128, 1), share);
    const auto weight = smallest_weight(values, DType::bf16);
    SparseMask mask(16, 128, [&](std::int64_t r, std::int64_t c) { return values(r, c) != 0; });
    const Tensor tensor = plain_weight(values, DType::bf16)->tensors("m")[0].tensor;
    const SparseWeight bitmap(
        SparseMatrix::from_dense(tensor, std::move(mask), SparseLayout::bitmap));
    EXPECT_EQ(stored_bytes(*weight),
              std::min(stored_bytes(bitmap), stored_bytes(*plain_weight(values, DType::bf16))));
    const QuantizedMatrix codes =
        prune_codes(random_matrix({.bits = 4, .group_size = 32}, 16, 128, 1), share, 1);
    EXPECT_EQ(stored_bytes(*smallest_weight(codes)),
              std::min(stored_bytes(*plain_weight(codes)),
                       stored_bytes(SparseQuantizedWeight(codes, SparseLayout::bitmap))));
  }
}

TEST(WeightStorage, EveryKindIsSavedAndLoadedExactly) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const Matrix values = random_values(19, 44, 3);
    expect_saved_and_loaded(*smallest_weight(values, dtype));
    expect_saved_and_loaded(*smallest_weight(pruned(values, 0.7), dtype));
    expect_saved_and_loaded(*smallest_weight(pruned(random_values(19, 45, 3), 0.7), dtype));
    expect_saved_and_loaded(*smallest_weight(two_of_four(values), dtype));
    expect_saved_and_loaded(*smallest_weight(Matrix::Zero(19, 44), dtype));
  }
  std::vector<QuantizationScheme> schemes{
      {.bits = 3, .group_size = 11},
      {.bits = 4, .group_size = 4, .actorder = ActivationOrdering::group},
      {.bits = 8, .symmetric = true, .strategy = QuantizationStrategy::tensor},
      scheme_w8a8(ActivationStrategy::token),
      scheme_w8a8(ActivationStrategy::tensor, false)};
  schemes.push_back({.bits = 4, .group_size = 22});
  schemes.back().activations = ActivationScheme{8, false, ActivationStrategy::tensor};
  for (const QuantizationScheme& scheme : schemes) {
    const QuantizedMatrix matrix = random_matrix(scheme, 19, 44, 4);
    expect_saved_and_loaded(*smallest_weight(matrix));
    expect_saved_and_loaded(*plain_weight(prune_codes(matrix, 0.7, 5)));
    expect_saved_and_loaded(*smallest_weight(prune_codes(matrix, 0.7, 5)));
    expect_saved_and_loaded(*smallest_weight(prune_two_of_four(matrix)));
  }
}

TEST(WeightStorage, SparseWeightsMultiplyLikeTheirExpansion) {
  const Matrix x = random_values(5, 44, 8);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    expect_multiplies(*smallest_weight(pruned(random_values(19, 44, 3), 0.7), dtype), x, x);
    expect_multiplies(*smallest_weight(two_of_four(random_values(19, 44, 3)), dtype), x, x);
  }
  const QuantizedMatrix matrix = random_matrix({.bits = 4, .group_size = 11}, 19, 44, 4);
  expect_multiplies(*smallest_weight(prune_codes(matrix, 0.7, 5)), x, x);
  expect_multiplies(*smallest_weight(prune_two_of_four(matrix)), x, x);
}

TEST(WeightStorage, InputsAreRoundedBeforeTheProduct) {
  const Matrix x = random_values(5, 44, 8) - 1.2F * random_values(5, 44, 9);
  for (const auto strategy : {ActivationStrategy::token, ActivationStrategy::tensor}) {
    for (const bool symmetric : {true, false}) {
      const QuantizationScheme scheme = scheme_w8a8(strategy, symmetric);
      const QuantizedMatrix matrix = random_matrix(scheme, 19, 44, 6);
      const Matrix rounded =
          round_activations(*scheme.activations, {matrix.input_scale, matrix.input_zero}, x);
      EXPECT_NE(rounded, x);
      expect_multiplies(*plain_weight(matrix), x, rounded);
      expect_multiplies(*smallest_weight(prune_two_of_four(matrix)), x, rounded);
    }
  }
}

TEST(WeightStorage, TransposedOnlyWhereDense) {
  const Matrix values = random_values(8, 16, 1);
  EXPECT_EQ(smallest_weight(values, DType::f32, true)->tensors("m")[0].tensor.shape(),
            (Shape{16, 8}));
  const auto sparse = smallest_weight(two_of_four(values), DType::f32, true);
  EXPECT_EQ(sparse->tensors("m")[0].tensor.to_values<std::int64_t>(),
            (std::vector<std::int64_t>{8, 16}));
  EXPECT_EQ(sparse->dense(), two_of_four(values));
}

// Values so small that they round to zero in the type count as zeros; denormals do not.
TEST(WeightStorage, ZerosAreThoseOfTheStoredType) {
  Matrix values = Matrix::Constant(4, 64, 1e-12F);
  values.col(0).setOnes();
  EXPECT_EQ(smallest_weight(values, DType::f16)->kind(), "float16 bitmap");
  values.setConstant(0x1p-130F);
  EXPECT_EQ(smallest_weight(values, DType::bf16)->kind(), "bfloat16");
  values.setConstant(-0.0F);
  EXPECT_EQ(smallest_weight(values, DType::bf16)->kind(), "bfloat16 bitmap");
}

TEST(WeightStorage, ReadsSparseFilesOfCompressedTensors) {
  const TemporaryDirectory directory;
  const auto weight = smallest_weight(two_of_four(random_values(8, 16, 1)), DType::bf16);
  saved(*weight, directory / "model");
  write_file(directory / "model" / "config.json", R"({"quantization_config":
    {"quant_method": "compressed-tensors", "version": "0.9.0", "transform_config": {},
     "sparsity_config": {"format": "sparse-24-bitmask", "targets": ["Linear"], "ignore": []}}})");
  const Checkpoint checkpoint = Checkpoint::open(directory / "model");
  const WeightLoader loader(checkpoint);
  const WeightSource source{checkpoint, "m", "Linear", {8, 16}, false};
  EXPECT_EQ(loader.kind(source), "bfloat16 2:4");
  EXPECT_EQ(loader.load(source)->dense(), weight->dense());
}

TEST(WeightStorage, RefusesWhatConfigDoesNotSpeakOf) {
  const TemporaryDirectory directory;
  const auto sparse = smallest_weight(two_of_four(random_values(8, 16, 1)), DType::bf16);
  saved(*sparse, directory / "model");
  const auto refused = [&](const std::string& config, const std::string& says) {
    write_file(directory / "model" / "config.json", config);
    const Checkpoint checkpoint = Checkpoint::open(directory / "model");
    expect_error(ErrorKind::bad_input, says, [&] {
      WeightLoader(checkpoint).load({checkpoint, "m", "Linear", {8, 16}, false});
    });
  };
  refused(R"({"terse_config": {"version": 1, "groups": [{"targets": ["n"], "layout": "2:4"}]}})",
          "m: is sparse, but config.json does not say how");
  refused(R"({"terse_config": {"version": 3, "groups": []}})", "key 'version': 3 is not 1");
  refused(R"({"terse_config": {"version": 1, "groups": [{"targets": ["m"], "layout": "bitmap"}]}})",
          "m.compressed: expected real numbers [64]");
  refused(R"({"terse_config": {"version": 1, "groups": [{"targets": ["m"], "layout": "spiral"}]}})",
          "m: is sparse, but config.json does not say how");
  refused("{}", "m.weight");
}

TEST(WeightStorage, RefusesLayoutsThatItDoesNotKnow) {
  const TemporaryDirectory directory;
  const DenseWeight dense(Matrix::Ones(2, 2), DType::f32);
  saved(dense, directory / "model");
  write_file(
      directory / "model" / "config.json",
      R"({"terse_config": {"version": 1, "groups": [{"targets": ["m"], "layout": "spiral"}]}})");
  const Checkpoint checkpoint = Checkpoint::open(directory / "model");
  expect_error(ErrorKind::bad_input, "m: layout 'spiral' is not known", [&] {
    WeightLoader(checkpoint).load({checkpoint, "m", "Linear", {2, 2}, false});
  });
}

TEST(WeightStorage, RefusesValuesThatAreNotFinite) {
  Matrix values = two_of_four(random_values(8, 16, 1));
  values(0, 2) = std::numeric_limits<float>::infinity();
  const auto weight = smallest_weight(values, DType::bf16);
  EXPECT_EQ(weight->kind(), "bfloat16 2:4");
  expect_error(ErrorKind::bad_input, "NaN or infinity", [&] { weight->prepare(); });
}

TEST(WeightStorage, TwoFourRefusesCodesThatDoNotFit) {
  const SparseQuantizedWeight weight(random_matrix({.bits = 4, .group_size = 16}, 8, 16, 1),
                                     SparseLayout::two_four);
  EXPECT_THROW(weight.tensors("m"), Error);
}

}  // namespace
}  // namespace terse
