// Adapters on the linears of models: names, fit, and the merged weight by hand.
#include "terse/model/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/peft_files.h"
#include "support/random_quantized.h"
#include "support/random_values.h"
#include "support/temporary_directory.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/group_quantized.h"
#include "terse/model/weights/low_rank_sum.h"
#include "terse/model/weights/storage.h"

namespace terse {
namespace {

using test::random_values;

using test::family_variant;
using testing::ElementsAre;

PeftModule adapter_of(std::int64_t rows, std::int64_t columns, double scale = 0.75) {
  return {"m", 3, scale, Tensor::from_matrix(DType::f32, random_values(3, columns, 2)),
          Tensor::from_matrix(DType::f32, random_values(rows, 3, 3))};
}

// Element by element, in double.
Matrix merged_by_hand(const Matrix& weight, const PeftModule& adapter) {
  const std::vector<float> a = adapter.a.to_floats();
  const std::vector<float> b = adapter.b.to_floats();
  const auto r = static_cast<std::size_t>(adapter.r());
  Matrix merged = weight;
  for (std::int64_t row = 0; row < weight.rows(); ++row) {
    double square = 0;
    for (std::int64_t column = 0; column < weight.cols(); ++column) {
      double sum = weight(row, column);
      for (std::size_t i = 0; i < r; ++i) {
        sum += adapter.scale * b[static_cast<std::size_t>(row) * r + i] *
               a[i * static_cast<std::size_t>(weight.cols()) + static_cast<std::size_t>(column)];
      }
      square += sum * sum;
      merged(row, column) = static_cast<float>(sum);
    }
    if (!adapter.magnitude) continue;
    const float length = adapter.magnitude->to_floats()[static_cast<std::size_t>(row)];
    merged.row(row) *= length / static_cast<float>(std::sqrt(square));
  }
  return merged;
}

TEST(Adapters, AddTheScaledProduct) {
  const Matrix weight = random_values(150, 40, 1);
  const PeftModule adapter = adapter_of(150, 40);
  EXPECT_TRUE(with_adapter(weight, adapter).isApprox(merged_by_hand(weight, adapter), 1e-6F));
}

TEST(Adapters, BringRowsToTheLengthsOfDora) {
  Matrix weight = random_values(70, 40, 1);
  PeftModule adapter = adapter_of(70, 40);
  adapter.magnitude = Tensor::from_matrix(DType::f32, random_values(1, 70, 4).cwiseAbs());
  adapter.magnitude = Tensor::from_floats(DType::f32, {70}, adapter.magnitude->to_floats());
  const Matrix merged = with_adapter(weight, adapter);
  EXPECT_TRUE(merged.isApprox(merged_by_hand(weight, adapter), 1e-5F));
  EXPECT_NEAR(merged.row(69).norm(), adapter.magnitude->to_floats()[69], 1e-5);
}

TEST(Adapters, MergeIntoWhatAWeightIs) {
  const PeftModule adapter = adapter_of(24, 32);
  const Matrix values = random_values(24, 32, 1);
  const std::shared_ptr<Weight> dense = plain_weight(values, DType::f16);
  EXPECT_EQ(merge_adapter(dense, adapter, DType::f16, false, false)->kind(), "float16");
  const std::shared_ptr<Weight> turned = plain_weight(values, DType::f32, true);
  const auto merged = merge_adapter(turned, adapter, DType::f32, true, false);
  EXPECT_EQ(merged->tensors("m").front().tensor.shape(), (Shape{32, 24}));
  EXPECT_TRUE(merged->dense().isApprox(merged_by_hand(values, adapter), 1e-6F));

  const auto integers = std::make_shared<GroupQuantizedWeight>(
      test::random_matrix({.bits = 3, .group_size = 16}, 24, 32, 1));
  const Matrix expected = merged_by_hand(integers->dense(), adapter);
  const auto sum = merge_adapter(integers, adapter, DType::f32, false, false);
  EXPECT_EQ(sum->kind(), "3 bits group 16 + rank 3");
  EXPECT_TRUE(sum->dense().isApprox(expected, 1e-5F));
  const auto plain = merge_adapter(integers, adapter, DType::f32, false, true);
  EXPECT_EQ(plain->kind(), "float32");
  EXPECT_TRUE(plain->dense().isApprox(expected, 1e-5F));
  PeftModule dora = adapter;
  dora.magnitude = Tensor::from_floats(DType::f32, {24}, std::vector<float>(24, 1.0F));
  EXPECT_EQ(merge_adapter(integers, dora, DType::f32, false, false)->kind(), "float32");

  test::expect_error(ErrorKind::bad_input, "3 bits group 16 + rank 3, which an adapter cannot",
                     [&] { merge_adapter(sum, adapter, DType::f32, false, false); });
  EXPECT_EQ(merge_adapter(sum, adapter, DType::f32, false, true)->kind(), "float32");
}

class FittedAdapters : public testing::Test {
 protected:
  Model open(const std::string& variant, bool prefix = true) {
    test::CheckpointLayout layout;
    layout.base_model_prefix = prefix;
    test::write_checkpoint(family_variant(variant), directory_ / variant, "F32", layout);
    return Model::open(directory_ / variant);
  }

  // The name in the checkpoint of the linear that an adapter of this module changes.
  std::string fitted(const Model& model, const std::string& module, Shape shape) {
    PeftAdapter adapter;
    adapter.modules.push_back(adapter_of(shape[0], shape[1]));
    adapter.modules.back().name = module;
    adapter.config.base_model_name_or_path = "some/model";
    return fit_adapter(model, adapter).begin()->first;
  }

  test::TemporaryDirectory directory_;
};

TEST_F(FittedAdapters, AreFoundByTheNamesOfTransformers) {
  for (const auto& [variant, module] : std::vector<std::pair<std::string, std::string>>{
           {"gpt2", "transformer.h.1.attn.c_attn"},
           {"opt", "model.decoder.layers.1.self_attn.q_proj"},
           {"gpt_neox", "gpt_neox.layers.1.attention.query_key_value"},
           {"llama", "model.layers.1.self_attn.q_proj"}}) {
    SCOPED_TRACE(variant);
    const Model model = open(variant);
    const Architecture& a = model.architecture();
    const LinearRole role =
        a.linears.contains(LinearRole::qkv_proj) ? LinearRole::qkv_proj : LinearRole::q_proj;
    EXPECT_EQ(transformers_module(a, 1, role), module);
    const Shape shape{a.out_features(0, role), a.in_features(0, role)};
    EXPECT_EQ(fitted(model, module, shape), model.linear_module(1, role));
    // Of the bare model.
    EXPECT_EQ(fitted(model, module.substr(a.prefix.size()), shape), model.linear_module(1, role));
  }
  const Model bare = open("gpt2", false);
  const std::int64_t width = bare.architecture().hidden_size;
  EXPECT_EQ(fitted(bare, "transformer.h.1.attn.c_attn", {3 * width, width}), "h.1.attn.c_attn");
}

TEST_F(FittedAdapters, OfAnotherBaseAreRefused) {
  const Model model = open("llama");
  const std::int64_t width = model.architecture().hidden_size;
  test::expect_error(
      ErrorKind::bad_input,
      "it has model.layers.9.self_attn.q_proj, and the model no such linear (the nearest is "
      "model.layers.0.self_attn.q_proj); use the model that it was trained on, 'some/model'",
      [&] {
        fitted(model, "model.layers.9.self_attn.q_proj", {width, width});
      });
  test::expect_error(
      ErrorKind::bad_input,
      fmt::format("has lora_A [3, {}] and lora_B [{}, 3]; the model's weight [{}, {}] needs", width,
                  width + 2, width, width),
      [&] {
        fitted(model, "model.layers.0.self_attn.q_proj", {width + 2, width});
      });
}

TEST_F(FittedAdapters, TargetsAreShortWhereTheyNameNoMore) {
  const Model model = open("llama");
  const Architecture& a = model.architecture();
  std::set<std::string> adapted{transformers_module(a, 0, LinearRole::up_proj)};
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    adapted.insert(transformers_module(a, block, LinearRole::q_proj));
  }
  EXPECT_THAT(target_modules(a, adapted), ElementsAre("model.layers.0.mlp.up_proj", "q_proj"));
}

}  // namespace
}  // namespace terse
