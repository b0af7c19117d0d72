#include "terse/methods/method.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "methods/random_problems.h"
#include "terse/core/error.h"

namespace terse::testing {
namespace {

// Keeps a weight as it is.
class Keep : public LinearMethod {
 public:
  LinearResult compress(LinearProblem problem) const override { return std::move(problem.weight); }
};

const LinearMethodRegistration kKeep(
    {"test-keep", "test", "Keeps a weight", "", MethodScope::linear, MethodNeed::nothing, {}},
    [](const MethodOptions&, const MethodContext&) { return std::make_unique<Keep>(); });

TEST(LinearMethod, ARegisteredMethodIsFoundInBothPlaces) {
  const MethodInfo& info = MethodRegistry::instance().find("test-keep");
  const auto method = make_linear_method("test-keep", MethodOptions(info, {}), {});
  const Matrix weight = random_matrix(3, 5, 1);
  EXPECT_EQ(dense_weight(method->compress({"a", weight})), weight);
  const auto together = method->compress_all({{"a", weight}, {"b", 2.0F * weight}});
  ASSERT_EQ(together.size(), 2U);
  EXPECT_EQ(dense_weight(together[1]), 2.0F * weight);
}

TEST(LinearMethod, EveryMethodOfTheRegistrySaysWhatItIs) {
  for (const auto& [name, info] : MethodRegistry::instance().all()) {
    EXPECT_EQ(name, info.name);
    EXPECT_FALSE(info.category.empty() || info.summary.empty()) << name;
    for (const MethodOption& option : info.options) EXPECT_FALSE(option.help.empty()) << name;
  }
}

TEST(LinearMethod, UnknownNamesAreToldTheNearest) {
  const MethodOptions none(MethodRegistry::instance().find("test-keep"), {});
  try {
    make_linear_method("gtpq", none, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("'gptq'"));
  }
}

}  // namespace
}  // namespace terse::testing
