// A teacher in a file beside the same teacher in the process; teachers that are none.
#include "terse/train/methods/cached_teacher.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/core/json.h"
#include "terse/methods/learn/teacher_match.h"
#include "terse/train/chunked_loss.h"
#include "terse/train/loop/trainer.h"
#include "terse/train/loop/training_text.h"
#include "terse/train/methods/teacher_objective.h"

namespace terse::train {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

constexpr std::int64_t kWords = 67;
constexpr std::int64_t kWindow = 12;
// Of a probability, by rounding its logarithm to half a step of the file, and of the sum that it is
// divided by.
constexpr double kProbabilityTolerance = 2 * 0.5 / kLogProbabilitySteps;
// Terms of divergences are products of probabilities and such logarithms.
constexpr double kLossTolerance = 4 * kProbabilityTolerance;

const MethodInfo& distill() {
  return MethodRegistry::instance().find("distill");
}

class CachedTeachers : public testing::Test {
 protected:
  CachedTeachers() {
    Json ids = Json::array();
    for (int i = 0; i < 9 * kWindow + 1; ++i) ids.push_back((i * i + 5 * i) % kWords);
    write_file(directory_ / "ids.json", ids.dump());
  }

  void write_model(const std::string& name, const test::RandomCheckpoint& checkpoint) const {
    test::write_checkpoint(checkpoint, directory_ / name, "F32");
  }

  CachedTeacher cached(std::int64_t top_k) const {
    return {directory_ / "teacher.safetensors", top_k, {{"config.json", "1"}}};
  }

  TrainingText text() const { return {.texts = {}, .token_file = directory_ / "ids.json"}; }

  const Model& teacher() {
    ++loads_;
    return teacher_;
  }

  void cache(const CachedTeacher& cached, std::int64_t window = kWindow) {
    Progress silent;
    cache_teacher({teacher_.architecture(), [this]() -> const Model& { return teacher(); }, cached,
                   text(), directory_ / "teacher", window, directory_ / "work"},
                  silent);
  }

  LearningProblem problem(const MethodOptions& options, const CachedTeacher& cached) {
    return {distill(),
            options,
            student_,
            [this]() -> const Model& { return teacher(); },
            [this]() -> const Model& { return teacher(); },
            [](std::int64_t, const LinearKey&) { return true; },
            [](std::int64_t, const LinearKey&) { return false; },
            text(),
            kWindow,
            directory_ / "work",
            [] {},
            cached};
  }

  struct Found {
    double loss;
    torch::Tensor gradient;  // of all rows by the logits
  };

  // Of some windows in the order of a shuffled walk, in chunks of 5 rows.
  Found loss_of(const std::string& divergence, double temperature, const CachedTeacher& cached) {
    const MethodOptions options(distill(), {});
    const LearningProblem posed = problem(options, cached);
    const auto objective = teacher_objective(
        posed, {parse_divergence(divergence), 0.3, temperature}, 0.7, torch::kCPU);
    const PackedTokens tokens =
        packed_text_of_step(text(), "", student_.architecture(), kWindow, directory_ / "work");
    const TokenBatch batch = tokens.batch({4, 0, 8}, torch::kCPU);
    const auto loss = objective->loss(batch);
    torch::manual_seed(3);
    const torch::Tensor logits = torch::randn({3 * kWindow, kWords});
    Found found{0, torch::empty_like(logits)};
    for (std::int64_t first = 0; first < 3 * kWindow; first += 5) {
      const std::int64_t rows = std::min<std::int64_t>(5, 3 * kWindow - first);
      torch::Tensor part = logits.narrow(0, first, rows).clone();
      found.loss += loss->sum_and_gradient(first, part) / (3 * kWindow);
      found.gradient.narrow(0, first, rows).copy_(part);
    }
    return found;
  }

  test::TemporaryDirectory directory_;
  Model teacher_ = made("teacher", "llama_biases");
  Model student_ = made("student", "llama_grouped_tied");
  int loads_ = 0;

 private:
  Model made(const std::string& name, const std::string& variant) const {
    write_model(name, test::family_variant(variant));
    return Model::load(directory_ / name);
  }
};

TEST_F(CachedTeachers, TeachLikeTheTeacherInTheProcessWhenAllTokensAreKnown) {
  cache(cached(kWords));
  for (const std::string& divergence : divergence_names()) {
    for (const double temperature : {1.0, 2.0}) {
      SCOPED_TRACE(divergence);
      const Found in_process = loss_of(divergence, temperature, {});
      const Found in_file = loss_of(divergence, temperature, cached(kWords));
      EXPECT_GT(in_process.loss, 0.1);
      EXPECT_NEAR(in_file.loss, in_process.loss, kLossTolerance * temperature);
      EXPECT_LT((in_file.gradient - in_process.gradient).abs().max().item<double>(),
                kProbabilityTolerance * temperature);
    }
  }
}

TEST_F(CachedTeachers, AreNearWhenMostOfTheMassIsKnown) {
  const double whole = loss_of("forward_kl", 1, {}).loss;
  cache(cached(32));
  const double most = loss_of("forward_kl", 1, cached(32)).loss;
  EXPECT_LT(most, whole + kLossTolerance);
  EXPECT_GT(most, 0.9 * whole);
}

TEST_F(CachedTeachers, AreComputedOnce) {
  cache(cached(8));
  EXPECT_EQ(loads_, 1);
  const std::string before = file_digest(cached(8).file);
  cache(cached(8));
  loss_of("forward_kl", 1, cached(8));
  EXPECT_EQ(loads_, 1);
  EXPECT_EQ(file_digest(cached(8).file), before);
  fs::remove(cached(8).file);
  cache(cached(8));
  EXPECT_EQ(loads_, 2);
  EXPECT_EQ(file_digest(cached(8).file), before);
  EXPECT_FALSE(fs::exists(cached(8).file.string() + ".part"));
}

TEST_F(CachedTeachers, OfOtherThingsAreRefused) {
  cache(cached(8));
  const auto refused = [&](ErrorKind kind, const std::string& says, const CachedTeacher& wanted,
                           std::int64_t window = kWindow) {
    expect_error(kind, says, [&] { cache(wanted, window); });
  };
  refused(ErrorKind::bad_input,
          "teacher.safetensors: was made from other things than this run's: the 8 most probable "
          "tokens where 9 are wanted; name another file for teacher_outputs, or delete this one",
          cached(9));
  refused(ErrorKind::bad_input, "a window of 12 tokens where 13 are wanted", cached(8), 13);
  CachedTeacher other = cached(8);
  other.digests = {{"config.json", "2"}};
  refused(ErrorKind::bad_input, "another teacher's config.json (digest 1 where 2 is wanted)",
          other);
  refused(ErrorKind::usage, "teacher_top_k 68 is more than the vocabulary of 67", cached(68));
  fs::remove_all(directory_ / "work");
  Json ids = Json::array();
  for (int i = 0; i < 9 * kWindow + 1; ++i) ids.push_back(i % kWords);
  write_file(directory_ / "ids.json", ids.dump());
  refused(ErrorKind::bad_input, "another text", cached(8));
  EXPECT_EQ(loads_, 1);
}

// Two models whose tokenizers have these tokens.
class Teachers : public CachedTeachers {
 protected:
  void write_tokenizer(const std::string& model, const std::string& last, bool pretty) const {
    Json vocabulary = Json::object();
    for (int i = 0; i < kWords - 1; ++i) vocabulary[fmt::format("t{}", i)] = i;
    vocabulary[last] = kWords - 1;
    const Json tokenizer = {
        {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
    write_file(directory_ / model / "tokenizer.json", tokenizer.dump(pretty ? 2 : -1));
  }
};

TEST_F(Teachers, MustHaveTheStudentsVocabulary) {
  EXPECT_NO_THROW(require_match(teacher_, student_));
  write_tokenizer("teacher", "last", false);
  EXPECT_NO_THROW(require_match(teacher_, student_));
  write_tokenizer("student", "last", true);
  EXPECT_NO_THROW(require_match(teacher_, student_));
  write_tokenizer("student", "other", true);
  expect_error(ErrorKind::bad_input, "by its logits: token 66 is 'last' and 'other'; they need one",
               [&] { require_match(teacher_, student_); });
  nlohmann::json config = test::family_variant("llama_biases").config;
  config["vocab_size"] = 70;
  write_model("larger", test::random_checkpoint("larger", config));
  const Model larger = Model::open(directory_ / "larger");
  expect_error(ErrorKind::bad_input, "larger (70 tokens, 3 blocks of 32) cannot teach the student",
               [&] { require_match(larger, student_); });
}

}  // namespace
}  // namespace terse::train
