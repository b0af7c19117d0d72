// Keys and values that are used again give the same bits as those computed anew.
#include "terse/model/session.h"

#include <gtest/gtest.h>

#include "support/family_variants.h"
#include "support/logits.h"
#include "support/temporary_directory.h"

namespace terse {
namespace {

using test::some_tokens;

// `common` tokens that are those of every salt, others behind them.
std::vector<std::int32_t> tokens_from(std::int64_t common, std::int64_t count, std::int64_t salt) {
  std::vector<std::int32_t> ids = some_tokens(common, 67);
  const std::vector<std::int32_t> own = some_tokens(count - common, 67, salt);
  ids.insert(ids.end(), own.begin(), own.end());
  return ids;
}

Matrix next_of(Session& session) {
  Session* const one = &session;
  return next_logits({&one, 1});
}

Matrix anew(const Model& model, const std::vector<std::int32_t>& ids, std::int64_t limit) {
  Session session(model);
  session.begin(ids, limit);
  return next_of(session);
}

class SessionOfEveryFamily : public testing::TestWithParam<test::FamilyVariant> {
 protected:
  void SetUp() override {
    test::write_checkpoint(GetParam().checkpoint(), directory_.path(), "F32");
  }
  Model load() const { return Model::load(directory_.path()); }

 private:
  test::TemporaryDirectory directory_;
};

TEST_P(SessionOfEveryFamily, GivesTheBitsOfAPassWithoutIt) {
  const Model model = load();
  const std::vector<std::int32_t> ids = tokens_from(20, 38, 1);
  EXPECT_TRUE(anew(model, ids, 40) == test::logits_of(model, {ids}, 40).bottomRows(1));
}

TEST_P(SessionOfEveryFamily, ContinuesAnotherTextWithTheSameBits) {
  const Model model = load();
  Session session(model);
  session.begin(tokens_from(36, 38, 1), 40);
  next_of(session);
  const std::vector<std::int32_t> other = tokens_from(36, 40, 2);
  EXPECT_EQ(session.reusable(other, 40), 32);
  session.begin(other, 40);
  EXPECT_TRUE(next_of(session) == anew(model, other, 40));
}

TEST_P(SessionOfEveryFamily, GrowsTokenByTokenAndIsCutBackWithTheSameBits) {
  const Model model = load();
  const std::vector<std::int32_t> all = tokens_from(40, 40, 0);
  Session session(model);
  session.begin({all.begin(), all.begin() + 30}, 40);
  for (std::size_t i = 30; i < all.size(); ++i) {
    next_of(session);
    session.push(all[i]);
  }
  const std::vector<std::int32_t> back(all.begin(), all.begin() + 35);
  EXPECT_EQ(session.reusable(back, 40), 32);
  session.begin(back, 40);
  EXPECT_TRUE(next_of(session) == anew(model, back, 40));
}

INSTANTIATE_TEST_SUITE_P(, SessionOfEveryFamily, testing::ValuesIn(test::family_variants()),
                         [](const auto& tested) { return tested.param.name; });

class SessionReuse : public testing::Test {
 protected:
  void write(const std::string& variant) {
    test::write_checkpoint(test::family_variant(variant), directory_.path(), "F32");
  }

  test::TemporaryDirectory directory_;
};

TEST_F(SessionReuse, IsOfWholePanelsAndLeavesTheLastToken) {
  write("llama");
  const Model model = Model::load(directory_.path());
  Session session(model);
  const std::vector<std::int32_t> ids = some_tokens(64, 67);
  EXPECT_EQ(session.reusable(ids, 64), 0);
  session.begin(ids, 64);
  EXPECT_EQ(session.reusable(ids, 64), 32);  // 63 are there
  next_of(session);
  EXPECT_EQ(session.reusable(ids, 64), 32);  // the last one is wanted again
  EXPECT_EQ(session.reusable(std::span(ids).first(33), 64), 32);
  EXPECT_EQ(session.reusable(std::span(ids).first(32), 64), 0);
  EXPECT_EQ(session.reusable({}, 64), 0);
  EXPECT_EQ(session.reusable(ids, 65), 0) << "there is no room for 65";
}

TEST_F(SessionReuse, HasTheRoomThatIsAskedFor) {
  write("llama");
  const Model model = Model::load(directory_.path());
  Session session(model);
  session.begin(some_tokens(40, 67), 41, 64);
  EXPECT_EQ(session.reusable(some_tokens(50, 67), 64), 32);
  EXPECT_EQ(session.reusable(some_tokens(50, 67), 65), 0);
  session.begin(some_tokens(50, 67), 65);
  EXPECT_TRUE(next_of(session) == anew(model, some_tokens(50, 67), 65));
}

TEST_F(SessionReuse, IsNoneWhereALongerSequenceTurnsPositionsOtherwise) {
  write("llama_rope_dynamic");
  const Model model = Model::load(directory_.path());
  Session session(model);
  const std::vector<std::int32_t> ids = some_tokens(36, 67);
  session.begin(ids, 48, 64);
  EXPECT_EQ(session.reusable(ids, 48), 32);
  EXPECT_EQ(session.reusable(ids, 40), 0);
  session.begin(ids, 40, 48);
  EXPECT_TRUE(next_of(session) == anew(model, ids, 40));
}

TEST_F(SessionReuse, GivesTheSameBitsWithEveryTypeOfCache) {
  write("llama");
  const Model model = Model::load(directory_.path());
  for (const CacheType type :
       {CacheType::f32, CacheType::f16, CacheType::bits8, CacheType::bits4, CacheType::bits2}) {
    SCOPED_TRACE(static_cast<int>(type));
    Session fresh(model, {type});
    const std::vector<std::int32_t> ids = tokens_from(40, 62, 2);
    fresh.begin(ids, 64);
    const Matrix expected = next_of(fresh);
    Session session(model, {type});
    session.begin(tokens_from(40, 50, 1), 64);
    for (const std::int32_t token : {1, 2, 3}) {
      next_of(session);
      session.push(token);
    }
    EXPECT_EQ(session.reusable(ids, 64), 32);
    session.begin(ids, 64);
    EXPECT_TRUE(next_of(session) == expected);
  }
}

TEST_F(SessionReuse, SeveralStepTogetherAsEachAlone) {
  write("llama");
  const Model model = Model::load(directory_.path());
  Session first(model);
  Session second(model);
  first.begin(some_tokens(7, 67, 1), 20);
  second.begin(some_tokens(33, 67, 2), 40);
  const std::vector<Session*> both{&first, &second};
  const Matrix logits = next_logits(both);
  EXPECT_TRUE(logits.row(0) == anew(model, some_tokens(7, 67, 1), 20).row(0));
  EXPECT_TRUE(logits.row(1) == anew(model, some_tokens(33, 67, 2), 40).row(0));
}

}  // namespace
}  // namespace terse
