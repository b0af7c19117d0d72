#include "terse/model/key_value_cache.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>

#include "support/family_variants.h"
#include "support/logits.h"
#include "support/paths.h"
#include "support/temporary_directory.h"
#include "terse/model/cpu_operations.h"
#include "terse/model/generation.h"

namespace terse {
namespace {

using test::logits_of;
using test::some_tokens;

constexpr std::array kTypes{CacheType::f32, CacheType::f16, CacheType::bits8, CacheType::bits4,
                            CacheType::bits2};

std::string name_of(const testing::TestParamInfo<CacheType>& info) {
  return std::array{"f32", "f16", "bits8", "bits4", "bits2"}.at(
      static_cast<std::size_t>(info.param));
}

Model random_model(const std::string& variant) {
  const test::TemporaryDirectory directory;
  test::write_checkpoint(test::family_variant(variant), directory.path(), "F32");
  return Model::load(directory.path());
}

// The logits of tokens [at, at + rows) of a sequence, which its cache then holds.
Matrix next_logits(const Model& model, KeyValueCache& cache, const std::vector<std::int32_t>& ids,
                   std::int64_t rows) {
  Batch batch;
  batch.add(cache, std::span(ids).subspan(static_cast<std::size_t>(cache.length()),
                                          static_cast<std::size_t>(rows)));
  CpuOperations operations(model, batch);
  Matrix logits = Forward(model.architecture(), operations).logits();
  batch.commit();
  return logits;
}

class EveryCacheType : public testing::TestWithParam<CacheType> {
 protected:
  static CacheOptions options() { return {.type = GetParam()}; }
};

INSTANTIATE_TEST_SUITE_P(, EveryCacheType, testing::ValuesIn(kTypes), name_of);

TEST_P(EveryCacheType, GivesTheSameBitsInOnePassInPiecesAndTokenByToken) {
  for (const char* variant : {"llama", "mistral_window", "gpt2"}) {
    const Model model = random_model(variant);
    const std::int64_t length = std::min<std::int64_t>(
        model.architecture().learned_positions ? model.architecture().context_length() : 140, 140);
    const std::vector<std::int32_t> ids = some_tokens(length, model.architecture().vocab_size);
    const Matrix whole = logits_of(model, {ids}, 0, options());
    for (const std::vector<std::int64_t>& pieces :
         {std::vector<std::int64_t>{1}, {32}, {33, 1, 2, 7}, {5, 60, 3, 29}, {64, 1}}) {
      KeyValueCache cache(model.architecture(), length, true, options());
      for (std::size_t i = 0; cache.length() < length; ++i) {
        const std::int64_t at = cache.length();
        const std::int64_t rows = std::min(pieces[i % pieces.size()], length - at);
        ASSERT_TRUE(next_logits(model, cache, ids, rows) == whole.middleRows(at, rows))
            << variant << ", positions from " << at << ", pieces of " << pieces.front();
      }
    }
  }
}

TEST_P(EveryCacheType, GivesASequenceTheSameBitsInAnyBatch) {
  const Model model = random_model("llama");
  const std::int64_t vocabulary = model.architecture().vocab_size;
  const std::vector<std::int32_t> ids = some_tokens(70, vocabulary);
  const Matrix alone = logits_of(model, {ids}, 0, options());
  const std::vector<std::vector<std::int32_t>> batch{some_tokens(33, vocabulary, 1),
                                                     some_tokens(100, vocabulary, 2), ids};
  EXPECT_TRUE(logits_of(model, batch, 0, options()).bottomRows(70) == alone);
}

TEST_P(EveryCacheType, ForgetsPositionsAndGoesOn) {
  const Model model = random_model("llama");
  const std::vector<std::int32_t> ids = some_tokens(110, model.architecture().vocab_size);
  const Matrix whole = logits_of(model, {ids}, 0, options());
  for (const std::int64_t kept : {109, 100, 97, 96, 70, 64, 1, 0}) {
    KeyValueCache cache(model.architecture(), 110, true, options());
    next_logits(model, cache, ids, 110);
    cache.set_length(kept);
    EXPECT_LE(cache.length(), kept);
    EXPECT_GT(cache.length(), kept - 32);
    const bool integers = GetParam() != CacheType::f32 && GetParam() != CacheType::f16;
    if (!integers || kept > 96) {
      EXPECT_EQ(cache.length(), kept);
    }
    while (cache.length() < 110) {
      const std::int64_t at = cache.length();
      const std::int64_t rows = std::min<std::int64_t>(13, 110 - at);
      ASSERT_TRUE(next_logits(model, cache, ids, rows) == whole.middleRows(at, rows))
          << "kept " << kept << ", positions from " << at;
    }
  }
}

// Largest difference of a logit from the float32 cache, in units of the largest logit.
TEST_P(EveryCacheType, IsAsNearToFloat32AsItsBitsAllow) {
  const std::map<CacheType, double> tolerances{{CacheType::f32, 0.0},
                                               {CacheType::f16, 1e-3},
                                               {CacheType::bits8, 5e-3},
                                               {CacheType::bits4, 0.05},
                                               {CacheType::bits2, 0.25}};
  const Model model = Model::load(test::source_path("models/docs-llama"));
  const std::vector<std::int32_t> ids = some_tokens(200, model.architecture().vocab_size);
  const Matrix exact = logits_of(model, {ids});
  const Matrix found = logits_of(model, {ids}, 0, options());
  const float difference = (found - exact).cwiseAbs().maxCoeff() / exact.cwiseAbs().maxCoeff();
  EXPECT_LE(difference, tolerances.at(GetParam()));
  // And no better: the cache is in use.
  EXPECT_EQ(GetParam() == CacheType::f32, difference == 0.0F);
}

TEST_P(EveryCacheType, GeneratesWhatOnePassOverTheResultPrefers) {
  const Model model = random_model("llama");
  const std::vector<std::int32_t> prompt = some_tokens(20, model.architecture().vocab_size);
  GenerationOptions generation;
  generation.max_tokens = 40;
  generation.cache = options();
  std::vector<std::int32_t> ids = prompt;
  const std::vector<std::int32_t> tokens = generate(model, {{prompt}}, generation)[0].tokens;
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  ASSERT_EQ(ids.size(), 60U);
  const Matrix logits = logits_of(model, {ids}, 0, options());
  for (std::size_t i = prompt.size(); i < ids.size(); ++i) {
    Eigen::Index best = 0;
    logits.row(static_cast<std::int64_t>(i) - 1).maxCoeff(&best);
    EXPECT_EQ(ids[i], best) << i;
  }
}

// Keys and values of a real shape: 2 heads of 64 channels in 6 blocks.
class CacheMemory : public testing::Test {
 protected:
  std::size_t bytes_after(CacheType type, std::int64_t length, std::int64_t rows) {
    KeyValueCache cache(architecture_, 2048, true, {.type = type});
    const std::vector<float> numbers(static_cast<std::size_t>(architecture_.key_size(0)), 1.0F);
    for (std::int64_t at = 0; at < length; at += rows) {
      for (std::int64_t block = 0; block < architecture_.num_hidden_layers; ++block) {
        cache.make_room(block, rows);
        for (std::int64_t p = at; p < at + rows; ++p) {
          cache.store(block, p, numbers.data(), numbers.data());
        }
        cache.quantize(block);
      }
      cache.set_length(at + rows);
    }
    return cache.bytes();
  }

  Architecture architecture_ = Model::open(test::source_path("models/docs-llama")).architecture();
};

TEST_F(CacheMemory, OfFourBitsIsAThirdOfFloat16AtMostWithItsWindow) {
  for (const std::int64_t length : {1920, 2048}) {
    const std::size_t half = bytes_after(CacheType::f16, length, 128);
    EXPECT_EQ(half, static_cast<std::size_t>(length * 2 * 2 * 6 * 128));
    EXPECT_LE(static_cast<double>(bytes_after(CacheType::bits4, length, 128)),
              0.33 * static_cast<double>(half));
    EXPECT_LE(static_cast<double>(bytes_after(CacheType::bits2, length, 128)),
              0.20 * static_cast<double>(half));
    EXPECT_LE(static_cast<double>(bytes_after(CacheType::bits8, length, 128)),
              0.58 * static_cast<double>(half));
  }
}

TEST_F(CacheMemory, GrowsWithThePositionsAndNotWithThePasses) {
  for (const CacheType type : kTypes) {
    EXPECT_EQ(bytes_after(type, 640, 1), bytes_after(type, 640, 64));
    EXPECT_LT(bytes_after(type, 640, 64), bytes_after(type, 1280, 64));
  }
  EXPECT_EQ(bytes_after(CacheType::f16, 33, 1), 2 * bytes_after(CacheType::f16, 32, 1));
}

TEST_F(CacheMemory, ReadByARowIsThatOfThePositionsItSees) {
  const double heads = 2;
  const auto read = [&](CacheType type, double positions) {
    return cache_bytes_read(architecture_, 0, positions, {.type = type});
  };
  EXPECT_DOUBLE_EQ(read(CacheType::f32, 100), heads * 100 * 2 * 64 * 4);
  EXPECT_DOUBLE_EQ(read(CacheType::f16, 100), heads * 100 * 2 * 64 * 2);
  EXPECT_DOUBLE_EQ(read(CacheType::bits4, 100),
                   heads * (16.5 * 2 * 64 * 2 + 83.5 * 64 * (5 + 4.5) / 8));
  EXPECT_DOUBLE_EQ(read(CacheType::bits4, 7), heads * 7 * 2 * 64 * 2);
}

}  // namespace
}  // namespace terse
