#include "bench_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "terse/core/text.h"

namespace terse::cli {
namespace {

using Cells = std::vector<std::string>;

std::string text(const Spread& spread) {
  return fmt::format("{:.4g} ({:.4g} to {:.4g})", spread.median, spread.least, spread.most);
}

Cells cells(const BenchLine& line, bool compared) {
  const bool generation = line.generation;
  Cells row{line.model,
            std::to_string(line.threads),
            generation ? fmt::format("{} after {}", line.tokens, line.prompt_tokens)
                       : fmt::format("prompt of {}", line.prompt_tokens),
            text(line.rate),
            generation ? fmt::format("{:.4g} MB", line.token_cost / 1e6)
                       : fmt::format("{:.4g} Gop", line.token_cost / 1e9),
            fmt::format("{:.0f} % of the {}", 100 * line.limit_share,
                        generation ? "memory's bandwidth" : "arithmetic peak")};
  if (!compared) return row;
  row.push_back(text(line.ratio));
  row.push_back(fmt::format("its {} allow {:.4g}: {:.0f} %", generation ? "bytes" : "operations",
                            line.counted_ratio, 100 * line.ratio.median / line.counted_ratio));
  return row;
}

// Columns as wide as their widest cell.
void print_aligned(const std::vector<Cells>& rows) {
  for (const Cells& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const auto of_column = [c](const Cells& cells) { return cells[c].size(); };
      const std::size_t width = of_column(*std::ranges::max_element(rows, {}, of_column));
      line += c + 1 < row.size() ? fmt::format("{:<{}}  ", row[c], width) : row[c];
    }
    fmt::print("{}\n", line);
  }
}

Json to_json(const Spread& spread) {
  return {{"median", spread.median}, {"least", spread.least}, {"most", spread.most}};
}

Json to_json(const MachineLimits& limits) {
  return {{"threads", limits.threads},
          {"memory_bandwidth", limits.memory_bandwidth},
          {"integer_peak", limits.integer_peak},
          {"float_peak", limits.float_peak}};
}

const char* test_name(const BenchLine& line) {
  return line.generation ? "generation" : "prompt";
}

Json to_json(const BenchLine& line) {
  Json json = {{"model", line.model},         {"threads", line.threads},
               {"test", test_name(line)},     {"prompt_tokens", line.prompt_tokens},
               {"tokens", line.tokens},       {"tokens_per_second", to_json(line.rate)},
               {"ratio", to_json(line.ratio)}};
  json[line.generation ? "bytes_per_token" : "operations_per_token"] = line.token_cost;
  json[line.generation ? "bandwidth_share" : "peak_share"] = line.limit_share;
  json["ratio"][line.generation ? "of_bytes" : "of_operations"] = line.counted_ratio;
  return json;
}

// RFC 4180.
std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  return '"' + replace_all(field, "\"", "\"\"") + '"';
}

}  // namespace

void print_table(const BenchReport& report, bool compared) {
  Cells names{"model", "threads", "test", "tokens/s", "a token", "share"};
  if (compared) names.insert(names.end(), {"times the first", "counted"});
  std::vector<Cells> rows{names};
  for (const BenchLine& line : report.lines) rows.push_back(cells(line, compared));
  print_aligned(rows);
  for (const MachineLimits& limits : report.limits) {
    fmt::print(
        "{} threads: memory reads {:.3g} GB/s, products of 8-bit integers {:.3g} Gop/s, of "
        "float32 {:.3g} Gop/s\n",
        limits.threads, limits.memory_bandwidth / 1e9, limits.integer_peak / 1e9,
        limits.float_peak / 1e9);
  }
}

Json to_json(const BenchReport& report) {
  Json limits = Json::array();
  for (const MachineLimits& each : report.limits) limits.push_back(to_json(each));
  Json results = Json::array();
  for (const BenchLine& line : report.lines) results.push_back(to_json(line));
  return {{"repetitions", report.repetitions},
          {"limits", std::move(limits)},
          {"results", std::move(results)}};
}

void print_csv(const BenchReport& report, std::uint64_t peak_memory) {
  fmt::print(
      "model,threads,test,prompt_tokens,tokens,tokens_per_second,least,most,operations_per_token,"
      "bytes_per_token,limit_share,ratio,ratio_least,ratio_most,counted_ratio,peak_memory_bytes\n");
  for (const BenchLine& line : report.lines) {
    const std::string cost = fmt::format("{:.0f}", line.token_cost);
    fmt::print(
        "{}\n",
        fmt::join(Cells{quoted(line.model), std::to_string(line.threads), test_name(line),
                        std::to_string(line.prompt_tokens), std::to_string(line.tokens),
                        fmt::format("{:.6g},{:.6g},{:.6g}", line.rate.median, line.rate.least,
                                    line.rate.most),
                        line.generation ? "," + cost : cost + ",",
                        fmt::format("{:.4g}", line.limit_share),
                        fmt::format("{:.6g},{:.6g},{:.6g}", line.ratio.median, line.ratio.least,
                                    line.ratio.most),
                        fmt::format("{:.6g}", line.counted_ratio), std::to_string(peak_memory)},
                  ","));
  }
}

}  // namespace terse::cli
