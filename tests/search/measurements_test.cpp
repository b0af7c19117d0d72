// Measurements survive, and nothing of somebody else is touched.
#include "terse/search/measurements.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/expect_error.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;

const Json kIdentity = {{"model", "a"}, {"samples", 8}};

class MeasurementFile : public testing::Test {
 protected:
  void write(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }

  TemporaryDirectory directory_;
  fs::path path_ = directory_ / "m";
};

TEST_F(MeasurementFile, GoesOnWhereItWas) {
  {
    Measurements file(path_, kIdentity, false);
    EXPECT_EQ(file.find("a"), nullptr);
    file.add("a", {{"kl", 0.1234567890123456789}});
    file.add("b", {{"bytes", 5}});
  }
  Measurements file(path_, kIdentity, false);
  EXPECT_EQ(file.size(), 2U);
  EXPECT_EQ(file.find("a")->at("kl").get<double>(), 0.1234567890123456789);
}

// Wherever the last line was torn, what came before it counts and more can be added.
TEST_F(MeasurementFile, TornLinesAreDropped) {
  { Measurements(path_, kIdentity, false).add("a", {{"kl", 1}}); }
  const std::string one = read_file(path_);
  { Measurements(path_, kIdentity, false).add("b", {{"kl", 2}}); }
  const std::string two = read_file(path_);
  for (std::size_t size = 0; size <= two.size(); ++size) {
    write(two.substr(0, size));
    Measurements file(path_, kIdentity, false);
    EXPECT_EQ(file.find("a") != nullptr, size >= one.size()) << size;
    EXPECT_EQ(file.find("b") != nullptr, size == two.size()) << size;
    file.add("c", {{"kl", 3}});
    EXPECT_TRUE(read_file(path_).ends_with("{\"key\":\"c\",\"value\":{\"kl\":3}}\n")) << size;
  }
}

TEST_F(MeasurementFile, AnotherSearchIsRefused) {
  { Measurements(path_, kIdentity, false).add("a", {{"kl", 1}}); }
  const Json other = {{"model", "a"}, {"samples", 16}};
  expect_error(ErrorKind::bad_input, "samples: 8 before, 16 now",
               [&] { Measurements(path_, other, false); });
  EXPECT_EQ(Measurements(path_, kIdentity, false).size(), 1U);
  EXPECT_EQ(Measurements(path_, other, true).size(), 0U);
  EXPECT_EQ(Measurements(path_, other, false).size(), 0U);
}

TEST_F(MeasurementFile, TheFileOfSomebodyElseIsLeftAlone) {
  for (const std::string text : {"notes\nof mine\n", "{\"format\":\"other\"}\n", "x", "{}"}) {
    for (const bool restart : {false, true}) {
      write(text);
      expect_error(ErrorKind::bad_input, "no file of measurements",
                   [&] { Measurements(path_, kIdentity, restart); });
      EXPECT_EQ(read_file(path_), text);
    }
  }
}

TEST_F(MeasurementFile, OneProcessAtATime) {
  const Measurements held(path_, kIdentity, false);
  expect_error(ErrorKind::failed, "another search", [&] { Measurements(path_, kIdentity, false); });
}

}  // namespace
}  // namespace terse::test
