// What terse bench found, as a table, JSON and CSV.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "terse/core/json.h"
#include "terse/eval/statistics.h"

namespace terse::cli {

/// What so many threads together reach on this machine.
struct MachineLimits {
  int threads = 1;
  double memory_bandwidth = 0;  ///< Bytes read per second.
  double integer_peak = 0;      ///< Operations per second with 8-bit integers.
  double float_peak = 0;        ///< The same in float32.
};

/// How fast one model does one thing: reads a prompt, or writes after it.
struct BenchLine {
  std::string model;
  int threads = 1;
  bool generation = false;
  std::int64_t prompt_tokens = 0;
  std::int64_t tokens = 0;   ///< Written after the prompt.
  Spread rate;               ///< Tokens per second.
  double token_cost = 0;     ///< Operations of a token of the prompt, bytes of a written one.
  double limit_share = 0;    ///< Of the arithmetic peaks, or of the memory's bandwidth.
  Spread ratio;              ///< Rates over those of the first model in the same round.
  double counted_ratio = 1;  ///< What the costs of both would make of it.
};

struct BenchReport {
  std::int64_t repetitions = 0;
  std::vector<MachineLimits> limits;
  std::vector<BenchLine> lines;
};

/// `compared`: with the columns that hold models against the first.
void print_table(const BenchReport& report, bool compared);
Json to_json(const BenchReport& report);
/// A line of names, then one for each of the report, with the peak of private memory.
void print_csv(const BenchReport& report, std::uint64_t peak_memory);

}  // namespace terse::cli
