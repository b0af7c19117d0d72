#include "terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>

#include "terse/core/text.h"

namespace terse::cli {

TerminalProgress::TerminalProgress() : visible_(::isatty(STDERR_FILENO) != 0) {}

void TerminalProgress::begin(std::string_view label, std::int64_t total, std::string_view unit) {
  label_ = label;
  unit_ = unit;
  total_ = total;
  done_ = 0;
  note_.clear();
  start_ = shown_ = Clock::now();
}

void TerminalProgress::advance(std::int64_t units) {
  done_ += units;
  constexpr auto kRefresh = std::chrono::milliseconds(100);
  if (visible_ && Clock::now() - shown_ > kRefresh) show();
}

void TerminalProgress::note(std::string_view text) {
  note_ = text;
}

void TerminalProgress::show() {
  shown_ = Clock::now();
  const double elapsed = std::chrono::duration<double>(shown_ - start_).count();
  const double rate = static_cast<double>(done_) / elapsed;
  const double left = rate > 0 ? static_cast<double>(total_ - done_) / rate : 0;
  fmt::print(stderr, "\r\033[K{}: {} of {} {}, {:.{}f} per second, {} left{}{}", label_,
             count_text(done_), count_text(total_), unit_, rate, rate < 10 ? 1 : 0,
             duration_text(left), note_.empty() ? "" : ", ", note_);
  std::fflush(stderr);
}

void TerminalProgress::end() {
  if (visible_) fmt::print(stderr, "\r\033[K");
}

double RunMeter::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void RunMeter::add_to(Json& report) const {
  report["seconds"] = seconds();
  report["peak_memory_bytes"] = memory_.peak_anonymous();
  report["peak_mapped_bytes"] = memory_.peak_file();
}

std::string RunMeter::text() const {
  return fmt::format("{}, peak memory {} (and {} of mapped files)", duration_text(seconds()),
                     bytes_text(memory_.peak_anonymous()), bytes_text(memory_.peak_file()));
}

CLI::Validator at_least(std::int64_t least) {
  const auto check = [least](const std::string& text) -> std::string {
    std::int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    if (result.ec == std::errc() && result.ptr == end && value >= least) return "";
    return fmt::format("expected an integer from {} on, found '{}'", least, text);
  };
  return CLI::Validator(check, "");
}

void add_json_flag(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "Print one JSON object on standard output, for scripts");
}

void add_memory_option(CLI::App& command, std::uint64_t& memory) {
  command
      .add_option("--memory", memory,
                  "Private memory to keep to, such as 4GiB: activations that do not fit go to disk "
                  "(default: four fifths of what is free)")
      ->transform(CLI::AsSizeValue(true));
}

void print_json(const Json& report) {
  // Prompts and paths may be no UTF-8.
  fmt::print("{}\n", report.dump(2, ' ', false, Json::error_handler_t::replace));
}

void show(bool json, const RunMeter& meter, const std::function<Json()>& object,
          const std::function<void()>& text) {
  if (json) {
    Json report = object();
    meter.add_to(report);
    print_json(report);
  } else {
    text();
    fmt::print("{}\n", meter.text());
  }
}

std::string duration_text(double seconds) {
  if (seconds < 100) return fmt::format("{:.{}f} s", seconds, seconds < 10 ? 2 : 1);
  const auto whole = static_cast<std::int64_t>(seconds);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

void print_rate(std::int64_t tokens, double seconds) {
  fmt::print("{} tokens, {:.0f} per second\n", count_text(tokens),
             static_cast<double>(tokens) / seconds);
}

std::string count_text(std::int64_t count) {
  std::string text = std::to_string(count);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return text;
}

}  // namespace terse::cli
