// Orders of tied blocks, as figure 1 of Takase and Kiyono draws them.
#include "terse/methods/sharing/groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace terse {
namespace {

using testing::ElementsAre;

TEST(TiedBlocks, AreThoseOfThePaper) {
  EXPECT_THAT(tied_blocks("sequence", 6, 3), ElementsAre(0, 0, 2, 2, 4, 4));
  EXPECT_THAT(tied_blocks("cycle", 6, 3), ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_THAT(tied_blocks("cycle_reversed", 6, 3), ElementsAre(0, 1, 2, 2, 1, 0));
  EXPECT_THAT(tied_blocks("cycle_reversed", 9, 3), ElementsAre(0, 1, 2, 0, 1, 2, 2, 1, 0));
}

TEST(TiedBlocks, NeedNotDivide) {
  EXPECT_THAT(tied_blocks("sequence", 6, 4), ElementsAre(0, 0, 2, 3, 3, 5));
  EXPECT_THAT(tied_blocks("cycle", 5, 2), ElementsAre(0, 1, 0, 1, 0));
  EXPECT_THAT(tied_blocks("cycle_reversed", 5, 2), ElementsAre(0, 1, 0, 1, 1));
}

TEST(TiedBlocks, AreAsManyGroupsAsAsked) {
  for (const char* order : {"sequence", "cycle", "cycle_reversed"}) {
    for (std::int64_t blocks = 1; blocks < 12; ++blocks) {
      for (std::int64_t groups = 1; groups <= blocks; ++groups) {
        const auto tied = tied_blocks(order, blocks, groups);
        const std::set<std::int64_t> sources(tied.begin(), tied.end());
        EXPECT_EQ(static_cast<std::int64_t>(sources.size()), groups) << order << blocks;
        for (std::size_t i = 0; i < tied.size(); ++i) {
          EXPECT_LE(tied[i], static_cast<std::int64_t>(i));
          EXPECT_EQ(tied[static_cast<std::size_t>(tied[i])], tied[i]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace terse
