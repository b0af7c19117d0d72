// A token after a long context beside one after a short context, by type of the key-value cache:
// context_bench MODEL [Google Benchmark's options]. Every iteration computes both, one after the
// other; `ratio` is the speed after the long context over that after the short one. What is in the
// caches does not matter for time, so they are filled with random numbers instead of a prompt.
#include <array>
#include <cstdio>
#include <utility>

#include "beside.h"
#include "terse/model/cpu_operations.h"
#include "terse/model/generation.h"

namespace terse {
namespace {

using namespace bench;  // NOLINT(google-build-using-namespace)

constexpr std::int64_t kShort = 112;
constexpr std::int64_t kLong = 1904;

void fill(KeyValueCache& cache, const Architecture& a, std::int64_t positions) {
  const Floats numbers = random_floats(positions * a.key_size(0), 1);
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    cache.make_room(block, positions);
    for (std::int64_t p = 0; p < positions; ++p) {
      const float* row = &numbers[p * a.key_size(0)];
      cache.store(block, p, row, row);
    }
    cache.quantize(block);
  }
  cache.set_length(positions);
}

/// One token after the positions of the cache, which are what it holds afterwards too.
void step(const Model& model, KeyValueCache& cache) {
  Batch batch;
  batch.add(cache, std::array<std::int32_t, 1>{1});
  CpuOperations operations(model, batch);
  benchmark::DoNotOptimize(Forward(model.architecture(), operations).logits());
}

void long_beside_short(benchmark::State& state, const Model& model, CacheType type) {
  const Architecture& a = model.architecture();
  const Threads threads(state.range(0));
  KeyValueCache far(a, kLong + 1, true, {.type = type});
  KeyValueCache near(a, kShort + 1, true, {.type = type});
  fill(far, a, kLong);
  fill(near, a, kShort);
  beside(
      state, 1, "long_per_s", [&] { step(model, far); }, "short_per_s", [&] { step(model, near); });
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  using terse::CacheType;
  terse::check_blas();
  benchmark::Initialize(&argc, argv);
  if (argc != 2) {
    std::fputs("context_bench: expected the directory of a model\n", stderr);
    return 2;
  }
  const terse::Model model = terse::Model::load(argv[1], terse::ActivationType::int8);
  for (const auto& [name, type] : {std::pair("f32", CacheType::f32),
                                   {"f16", CacheType::f16},
                                   {"8", CacheType::bits8},
                                   {"4", CacheType::bits4},
                                   {"2", CacheType::bits2}}) {
    benchmark::RegisterBenchmark(name,
                                 [&model, type = type](benchmark::State& state) {
                                   terse::long_beside_short(state, model, type);
                                 })
        ->ArgName("threads")
        ->Arg(1)
        ->Arg(2)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
}
