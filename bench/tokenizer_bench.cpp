// Promise: English is encoded with GPT-2's vocabulary at 5 MB/s or more on one core, and a small
// tokenizer loads in a few milliseconds. The text is WikiText-2 (test, raw), the vocabularies are
// those in shared/tokenizers; TERSE_SHARED says where they are when they are not beside the
// sources.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>

#include "terse/core/file.h"
#include "terse/tokenizer/tokenizer.h"

namespace {

const std::filesystem::path kSource = std::filesystem::path(__FILE__).parent_path().parent_path();

std::filesystem::path shared_folder() {
  const char* given = std::getenv("TERSE_SHARED");
  return given != nullptr ? std::filesystem::path(given) : kSource / ".." / "shared";
}

std::filesystem::path tokenizer_file(const char* name) {
  return shared_folder() / "tokenizers" / name / "tokenizer.json";
}

std::filesystem::path wikitext() {
  return shared_folder() / "data" / "wikitext-2-raw" / "wiki.test.raw";
}

std::filesystem::path docs_llama() {
  return kSource / "models" / "docs-llama" / "tokenizer.json";
}

void encode(benchmark::State& state, const std::filesystem::path& file, bool cold) {
  if (!std::filesystem::exists(file) || !std::filesystem::exists(wikitext())) {
    state.SkipWithError("shared data is absent");
    return;
  }
  const std::string text = terse::read_file(wikitext());
  auto tokenizer = terse::Tokenizer::load(file);
  std::size_t tokens = 0;
  for (auto _ : state) {
    if (cold) {
      state.PauseTiming();
      tokenizer = terse::Tokenizer::load(file);
      state.ResumeTiming();
    }
    tokens = tokenizer.encode(text).size();
    benchmark::DoNotOptimize(tokens);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
  state.counters["tokens"] = static_cast<double>(tokens);
}

void decode(benchmark::State& state, const std::filesystem::path& file) {
  if (!std::filesystem::exists(file) || !std::filesystem::exists(wikitext())) {
    state.SkipWithError("shared data is absent");
    return;
  }
  const auto tokenizer = terse::Tokenizer::load(file);
  const std::vector<std::int32_t> ids = tokenizer.encode(terse::read_file(wikitext()));
  std::size_t bytes = 0;
  for (auto _ : state) bytes = tokenizer.decode(ids).size();
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * state.iterations());
}

void load(benchmark::State& state, const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) {
    state.SkipWithError("shared data is absent");
    return;
  }
  for (auto _ : state) benchmark::DoNotOptimize(terse::Tokenizer::load(file).vocab_size());
}

void add_benchmarks() {
  const auto add = [](const std::string& name, auto&& body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->Unit(benchmark::kMillisecond);
  };
  for (const char* name : {"phi-2", "gpt-neox", "falcon", "llama2", "t5-small"}) {
    const std::filesystem::path file = tokenizer_file(name);
    const std::string label = name;
    add("encode/" + label, [=](benchmark::State& state) { encode(state, file, false); });
    add("encode_cold/" + label, [=](benchmark::State& state) { encode(state, file, true); });
    add("load/" + label, [=](benchmark::State& state) { load(state, file); });
  }
  add("encode/docs-llama", [](benchmark::State& state) { encode(state, docs_llama(), false); });
  add("load/docs-llama", [](benchmark::State& state) { load(state, docs_llama()); });
  add("decode/phi-2", [](benchmark::State& state) { decode(state, tokenizer_file("phi-2")); });
}

}  // namespace

int main(int argc, char** argv) {
  add_benchmarks();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
