#include "terse/methods/prune/pruning_options.h"

#include "methods/prune/prune_support.h"

namespace terse::testing {
namespace {

PruningOptions parse(const Given& given) {
  return parse_pruning(options_of("magnitude", given));
}

std::string refusal(const Given& given) {
  return message_of(ErrorKind::usage, [&] { parse(given); });
}

TEST(PruningOptions, AreReadWithTheirDefaults) {
  EXPECT_EQ(parse({}).sparsity, 0.5);
  EXPECT_FALSE(parse({}).pattern.has_value());
  EXPECT_EQ(parse({{"sparsity", "0.7"}}).sparsity, 0.7);
  const PruningOptions pattern = parse({{"structure", "1:4"}});
  ASSERT_TRUE(pattern.pattern.has_value());
  EXPECT_EQ(pattern.pattern->zeros, 1);
  EXPECT_EQ(pattern.pattern->size, 4);
  EXPECT_EQ(pattern.sparsity, 0.25);
  EXPECT_EQ(parse({{"structure", "1:4"}, {"sparsity", "0.25"}}).sparsity, 0.25);
}

TEST(PruningOptions, AStructureThatIsNoneIsRefused) {
  for (const std::string text : {"", "2", "2:", ":4", "4:4", "5:4", "0:4", "-1:4", "2:4:8", "2:33",
                                 "2:99999999999999999999", "a:b", " 2:4", "structured"}) {
    EXPECT_THAT(refusal({{"structure", text}}),
                ::testing::AllOf(::testing::HasSubstr("option structure"),
                                 ::testing::HasSubstr("'" + text + "'")))
        << text;
  }
}

TEST(PruningOptions, ContradictionsAreRefused) {
  EXPECT_THAT(refusal({{"structure", "2:4"}, {"sparsity", "0.6"}}),
              ::testing::HasSubstr("option sparsity: 0.6 contradicts structure 2:4, which is 0.5"));
  EXPECT_THAT(refusal({{"structure", "2:4"}, {"allocation", "owl"}}),
              ::testing::HasSubstr("option allocation: owl"));
  EXPECT_THAT(refusal({{"owl_m", "3"}}), ::testing::HasSubstr("option owl_m"));
  EXPECT_THAT(refusal({{"owl_lambda", "0.1"}, {"allocation", "global"}}),
              ::testing::HasSubstr("option owl_lambda"));
  EXPECT_THAT(refusal({{"sparsity", "1.1"}}), ::testing::HasSubstr("option sparsity"));
  EXPECT_EQ(refusal({{"owl_lambda", "0.1"}, {"allocation", "owl"}}), "");
}

TEST(PruningOptions, GlobalIsForMagnitudeAlone) {
  for (const std::string method : {"wanda", "sparsegpt"}) {
    EXPECT_THAT(message_of(ErrorKind::usage,
                           [&] {
                             options_of(method, {{"allocation", "global"}});
                           }),
                ::testing::HasSubstr("option allocation"));
  }
}

TEST(PruningOptions, AWidthThatAPatternDoesNotDivideIsToldWhatFits) {
  for (const std::string method : {"magnitude", "wanda", "sparsegpt"}) {
    const auto made = make_linear_method(method, options_of(method, {{"structure", "2:8"}}), {});
    made->check("fc", 4, 32);
    EXPECT_THAT(message_of(ErrorKind::usage, [&] { made->check("fc", 4, 172); }),
                ::testing::AllOf(::testing::HasSubstr("fc: structure 2:8"),
                                 ::testing::HasSubstr("width 172"),
                                 ::testing::HasSubstr("an m of 2, 4, or unstructured")));
    EXPECT_THAT(message_of(ErrorKind::usage, [&] { made->check("fc", 4, 37); }),
                ::testing::HasSubstr("37; use unstructured"));
  }
}

TEST(PruningOptions, CountsAreTheNearestIntegers) {
  EXPECT_EQ(zero_count(7, 0.5), 4);
  EXPECT_EQ(zero_count(10, 0.3), 3);
  EXPECT_EQ(zero_count(1'000'000'007, 123'456'789.0 / 1'000'000'007.0), 123'456'789);
}

}  // namespace
}  // namespace terse::testing
