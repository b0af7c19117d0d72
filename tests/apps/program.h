// Runs the program as a user does, and what is expected of every error.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace terse::test {

struct ProgramResult {
  int code = 0;  // exit code, or minus the signal that ended the program
  std::string out;
  std::string err;

  // Standard output as one JSON object.
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

struct ProgramSetting {
  std::string input = {};                      // standard input
  std::filesystem::path directory = {};        // working directory; empty: that of the test
  std::uint64_t largest_file = 0;              // bytes that a file may have; 0: no limit
  std::filesystem::path standard_output = {};  // instead of being read, e.g. /dev/full
  std::map<std::string, std::string> environment = {};  // added to that of the test
};

// Runs `terse` with arguments; neither of its outputs is a terminal.
ProgramResult run_terse(const std::vector<std::string>& arguments,
                        const ProgramSetting& setting = {});

// Runs any program.
ProgramResult run_program(const std::string& program, const std::vector<std::string>& arguments,
                          const ProgramSetting& setting = {});

// Exit code 0 and nothing on standard error: no progress where no terminal is.
void expect_done(const ProgramResult& result);

// The exit code, nothing on standard output, and one line on standard error with these parts.
void expect_refused(const ProgramResult& result, int code, const std::vector<std::string>& parts);

}  // namespace terse::test
