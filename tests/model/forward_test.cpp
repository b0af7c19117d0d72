// The forward pass of every family against the independent references of tests/support.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/family_variants.h"
#include "support/logits.h"
#include "support/random_checkpoint.h"
#include "support/reference_model.h"
#include "support/temporary_directory.h"
#include "terse/core/threads.h"
#include "terse/model/cpu_operations.h"
#include "terse/model/generation.h"

namespace terse {
namespace {

using test::logits_of;
using test::RandomCheckpoint;
using test::some_tokens;
using test::TemporaryDirectory;

// Largest difference in units of the largest logit.
double relative_difference(const Matrix& found, const std::vector<std::vector<double>>& expected) {
  double largest = 0;
  double difference = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    for (std::size_t j = 0; j < expected[i].size(); ++j) {
      const double value = found(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j));
      largest = std::max(largest, std::abs(expected[i][j]));
      difference = std::max(difference, std::abs(value - expected[i][j]));
    }
  }
  return difference / largest;
}

double difference_from_reference(const RandomCheckpoint& checkpoint, const std::string& dtype,
                                 const test::CheckpointLayout& layout) {
  const TemporaryDirectory directory;
  test::write_checkpoint(checkpoint, directory.path(), dtype, layout);
  const Model model = Model::load(directory.path());
  const std::vector<std::int32_t> ids = some_tokens(40, model.architecture().vocab_size);
  const RandomCheckpoint stored = test::rounded(checkpoint, dtype);
  return relative_difference(
      logits_of(model, {ids}),
      test::reference_logits(stored.config, stored.weights, {ids.begin(), ids.end()}));
}

class EveryFamily : public testing::TestWithParam<test::FamilyVariant> {};

TEST_P(EveryFamily, AgreesWithTheReference) {
  EXPECT_LT(difference_from_reference(GetParam().checkpoint(), "F32", {}), 1e-4);
}

TEST_P(EveryFamily, AgreesWithTheReferenceInHalfPrecisionStorage) {
  EXPECT_LT(difference_from_reference(GetParam().checkpoint(), "BF16", {}), 1e-4);
  EXPECT_LT(difference_from_reference(GetParam().checkpoint(), "F16", {}), 1e-4);
}

TEST_P(EveryFamily, ReadsTheNamesOfOtherWriters) {
  for (const auto tied :
       {test::TiedName::kEmbedding, test::TiedName::kHead, test::TiedName::kBoth}) {
    const test::CheckpointLayout layout{
        .base_model_prefix = false, .tied = tied, .legacy_buffers = true};
    EXPECT_LT(difference_from_reference(GetParam().checkpoint(), "F32", layout), 1e-4);
  }
}

TEST_P(EveryFamily, ContinuesASequenceFromItsCacheWithTheSameBits) {
  const TemporaryDirectory directory;
  test::write_checkpoint(GetParam().checkpoint(), directory.path(), "F32");
  const Model model = Model::load(directory.path());
  const std::vector<std::int32_t> ids = some_tokens(37, model.architecture().vocab_size);
  const Matrix whole = logits_of(model, {ids});

  KeyValueCache cache(model.architecture(), 37);
  std::int64_t at = 0;
  for (const std::int64_t piece : {1, 5, 16, 1, 14}) {
    Batch batch;
    batch.add(cache, std::span(ids).subspan(static_cast<std::size_t>(at),
                                            static_cast<std::size_t>(piece)));
    CpuOperations operations(model, batch);
    const Matrix part = Forward(model.architecture(), operations).logits();
    batch.commit();
    EXPECT_TRUE(part == whole.middleRows(at, piece)) << "positions from " << at;
    at += piece;
  }
}

TEST_P(EveryFamily, GivesARowTheSameBitsInAnyBatchAndOnAnyNumberOfThreads) {
  const TemporaryDirectory directory;
  test::write_checkpoint(GetParam().checkpoint(), directory.path(), "BF16");
  const Model model = Model::load(directory.path());
  const std::int64_t vocabulary = model.architecture().vocab_size;
  const std::vector<std::int32_t> ids = some_tokens(9, vocabulary);
  const Matrix alone = logits_of(model, {ids});
  const int threads = thread_count();
  for (const int count : {1, 2, 3, 5}) {
    set_thread_count(count);
    for (const int sequences : {1, 7, 64}) {
      std::vector<std::vector<std::int32_t>> batch;
      for (int i = 0; i + 1 < sequences; ++i)
        batch.push_back(some_tokens(1 + i % 11, vocabulary, i + 1));
      batch.push_back(ids);
      EXPECT_TRUE(logits_of(model, batch).bottomRows(9) == alone) << sequences << " sequences";
    }
  }
  set_thread_count(threads);
}

TEST_P(EveryFamily, GeneratesTheSameTokensWithAndWithoutCache) {
  const TemporaryDirectory directory;
  test::write_checkpoint(GetParam().checkpoint(), directory.path(), "F32");
  const Model model = Model::load(directory.path());
  const std::vector<std::int32_t> prompt = some_tokens(6, model.architecture().vocab_size);
  GenerationOptions options;
  options.max_tokens = 12;
  const std::vector<std::int32_t> cached = generate(model, {{prompt}}, options)[0].tokens;

  std::vector<std::int32_t> ids = prompt;
  for (int i = 0; i < 12; ++i) {
    const Matrix logits = logits_of(model, {ids}, 18);
    Eigen::Index best = 0;
    logits.bottomRows(1).row(0).maxCoeff(&best);
    ids.push_back(static_cast<std::int32_t>(best));
  }
  EXPECT_EQ(cached, std::vector<std::int32_t>(ids.begin() + 6, ids.end()));
}

INSTANTIATE_TEST_SUITE_P(, EveryFamily, testing::ValuesIn(test::family_variants()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace terse
